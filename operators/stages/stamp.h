/* stamp.h: the members that a sampler appends to a record, in this order, right before its closing brace (sample.c says what they
 * mean). parse.c knows by the last one whether a record has any, without a look at the rest of it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_STAMP_H
#define SL_OPERATORS_STAGES_STAMP_H

#define STAMP_WEIGHT "_w"
#define STAMP_THRESHOLD "_t"
#define STAMP_RANDOMNESS "_r"
#define STAMP_GROUP "_g"
#define STAMP_LAST STAMP_GROUP

enum { STAMP_MEMBERS = 4 }; /* a header of macros alone would be no translation unit when it is compiled by itself */

#endif
