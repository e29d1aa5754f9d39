/* page.h: the console at "/": one HTML page that fetches /status and shows it. Nothing is loaded from anywhere else.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONTROL_PAGE_H
#define SL_RUNTIME_CONTROL_PAGE_H

extern const char sl_control_page[];

#endif
