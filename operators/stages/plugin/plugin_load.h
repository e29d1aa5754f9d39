/* plugin_load.h: a plugin's file into tables of our own: what it is is read from the file first, and only what passes is opened.
 *
 * Refused: what is no shared object for this machine, or not whole; no function sl_plugin; symbols of ours that it needs at link (all
 * comes through the api table); what could never be unloaded or only so often be loaded (GNU_UNIQUE symbols, which versions of an object
 * would share as well; -z nodelete; destructors of thread-local variables; static TLS); a table with another magic or major, too short,
 * or without what the engine calls; settings rows that the binder could not bind.
 * The file is read once and a private copy in memory is opened. So a file that is written over while it runs changes and breaks nothing,
 * and several versions are in the process at once: the loader knows an object by its path and its inode, which the copies have of their
 * own, and never by a DT_SONAME that they share. Libraries that it needs are found as the system's are, not beside it.
 * Opening runs the object's constructors: a plugin is trusted as the program is. What it does to the process by itself (threads, signal
 * handlers, pthread keys) would outlive it: the contract forbids it, and no file says so.
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
