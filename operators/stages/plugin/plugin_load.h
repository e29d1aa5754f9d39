/* plugin_load.h: a plugin's file into tables of our own: what it is is read from the file first, and only what passes is opened.
 *
 * Refused: what is no shared object for this machine; no function sl_plugin; symbols of ours that it needs at link (all comes through
 * the api table); GNU_UNIQUE symbols, since such an object is never unloaded and shares them with other versions of itself; a table
 * with another magic or major, too short, or without what the engine calls; settings rows that the binder could not bind.
 * Opening runs the object's constructors: a plugin is trusted as the program is.
 * Ownership: everything lies in the configuration's pool, and the object is closed with it, after the last instance.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_PLUGIN_PLUGIN_LOAD_H
#define SL_OPERATORS_STAGES_PLUGIN_PLUGIN_LOAD_H

#include "runtime/base/err.h"
#include "runtime/config/bind.h"
#include "runtime/engine/plugin.h"

struct plugin_code {
    struct sl_plugin table;  /* a copy; its strings are copies */
    struct sl_field *fields; /* its settings, as the binder knows them */
};

/* NULL: err->text says why, with what would be right behind its last "; ". */
const struct plugin_code *plugin_load(struct sl_pool *pool, const char *path, struct sl_err *err);

#endif
