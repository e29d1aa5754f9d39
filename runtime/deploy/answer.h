/* answer.h: how commands answer: one JSON object, and a line of the audit log with the same words. Private to this folder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_ANSWER_H
#define SL_RUNTIME_DEPLOY_ANSWER_H

#include "runtime/base/json_out.h"
#include "runtime/deploy/deployment.h"

struct answer { /* of one command that changes something */
    struct sl_deployer *deployer;
    struct deployment *deployment; /* NULL: not known yet */
    const struct sl_who *who;
    const char *command;
    struct sl_buf *json;
    uint32_t number; /* of the generation it is about; 0: none */
};

/* Returns 0. result: for the audit log. */
int answer_done(const struct answer *answer, const char *result, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Returns -code. Refusals of what was asked are "refused", all else is "failed". */
int answer_err(const struct answer *answer, const struct sl_err *err);
/* The same with what is wrong with a file. err->code stays. */
int answer_diags(const struct answer *answer, const struct sl_diags *diags, const struct sl_err *err);
/* A question's refusal: {"error": …}, nothing in the audit log. */
int answer_error(struct sl_buf *json, const struct sl_err *err);

#endif
