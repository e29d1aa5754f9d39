/* err.h: the one error type. It lives on the caller's stack and never allocates; the maker says what may be done about it.
 * A fallible function returns 0 or -code, fills *err exactly when non-zero, and leaves its ret_ outputs untouched on failure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_ERR_H
#define SL_RUNTIME_BASE_ERR_H

enum sl_code { SL_OK, SL_E_CONFIG, SL_E_FORMAT, SL_E_LIMIT, SL_E_IO, SL_E_BROKER, SL_E_STOPPED };
/* again later | this record aside | not ours any more | stop and ask a person */
enum sl_remedy { SL_REMEDY_RETRY, SL_REMEDY_DEADLETTER, SL_REMEDY_FENCE, SL_REMEDY_HALT };

struct sl_err {
    enum sl_code code;
    enum sl_remedy remedy;
    int sys;            /* errno or rd_kafka_resp_err_t, 0 if neither */
    const char *origin; /* "spool.c:118", static storage */
    char text[480];     /* outermost context first: "topology a: sink b: open" */
};

/* Fills *err (which may be NULL) and returns -code. Use through the macros, which add the origin. */
int sl_fail_at(struct sl_err *err, const char *origin, enum sl_code code, enum sl_remedy remedy, int sys,
               const char *format, ...) __attribute__((format(printf, 6, 7)));
/* Puts "context: " before err->text and returns -err->code. */
int sl_while(struct sl_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *sl_code_name(enum sl_code code);

#define SL_STR2(x) #x
#define SL_STR(x) SL_STR2(x)
#define sl_fail(err, code, remedy, sys, ...)                                                                           \
    sl_fail_at(err, __FILE__ ":" SL_STR(__LINE__), code, remedy, sys, __VA_ARGS__)

#endif
