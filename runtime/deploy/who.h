/* who.h: on whose word something is changed.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_WHO_H
#define SL_RUNTIME_DEPLOY_WHO_H

#include <stdint.h>

struct sl_who {
    char text[64]; /* a user's name, "token ADDRESS", "start", "the plan", "the judge" */
    int64_t uid;   /* of the process at the other end of the socket; -1: none is known */
};

#endif
