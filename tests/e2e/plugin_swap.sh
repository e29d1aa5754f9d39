#!/usr/bin/env bash
# plugin_swap.sh: versions of a plugin, each written over the file of the one before, are deployed in a row under load: every one runs,
# none stays in the process. One that fails is taken back by itself; one that crashes the process twice is left out at the next start,
# and history says so; two kill -9 blame nobody. Each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

versions=$(count 10 60)
cd "$work"
mkdir -p include/sluice && cp "$root/runtime/engine/plugin.h" include/sluice/plugin.h
cat >mask.c <<'C'
#include <signal.h>
#include <sluice/plugin.h>

int batches; /* visible, as in every other version */
static const char paste[] = ",\"v\":" VERSION "}";

static int process(void *self, struct sl_plugin_view *view, struct sl_plugin_err *err)
{
    const struct sl_plugin_api *api = *(const struct sl_plugin_api **)self;

    if (++batches > 3 && FAILS)
        return sl_plugin_fail(err, "version " VERSION " cannot go on");
    if (batches > 3 && CRASHES)
        *(volatile int *)(uintptr_t)16 = 1;
    for (uint32_t i = 0; i < view->rows_count; i++) {
        uint16_t row = view->rows[i];
        struct sl_plugin_slice text = view->text[row], more = {paste, sizeof(paste) - 1};
        if (api->edit(view, row, (struct sl_plugin_span){text.bytes - 1, 1}, more) != 0)
            return sl_plugin_fail(err, "no memory for an edit");
    }
    return 0;
}
static int start(void *self, const struct sl_plugin_api *api, const void *settings, struct sl_plugin_err *err)
{
    (void)settings, (void)err;
    *(const struct sl_plugin_api **)self = api;
    return 0;
}
static const struct sl_plugin mask = {.magic = SL_PLUGIN_MAGIC, .major = SL_PLUGIN_MAJOR, .bytes = sizeof(struct sl_plugin), .name = "mask",
    .version = VERSION, .self_bytes = sizeof(void *), .open = start, .process = process};
const struct sl_plugin *sl_plugin(void) { return &mask; }
C
# version NUMBER [FAILS [CRASHES]]: mask.so, written over
version() {
    "${CC:-cc}" -std=gnu11 -shared -fPIC -Iinclude -Wl,-soname,libmask.so.1 "-DVERSION=\"$1\"" "-DFAILS=${2:-0}" "-DCRASHES=${3:-0}" -o built.so mask.c || die "version $1 was not built"
    cat built.so >mask.so
}
cat >topology.yaml <<'YAML'
name: orders
sources: { logs: { type: generate, rate: 20000/s, services: 20, partitions: 2 } }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
  mask: { type: plugin, inputs: [parsed], path: ./mask.so }
sinks: { landing: { type: files, inputs: [mask], dir: landing, compression: none, roll: { bytes: 64MiB, every: 200ms } } }
YAML
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
launch() {
    "$sluice" run topology.yaml --quiet --data-dir state 2>>run.log &
    server=$!
}
start() {
    launch
    wait_for 30 client status >/dev/null 2>&1 || { tail -n 3 run.log >&2 && die 'no server'; }
}
live() { client status --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["topologies"][0]["live"]["generation"])'; }
lands() { # VERSION: a record of it, in a file that is newer than the mark
    [ -n "$(find state/landing -name '*.ndjson' -newer mark -exec grep -l "\"v\":$1}" {} + 2>/dev/null)" ]
}
runs() { touch mark; wait_for 20 lands "$1" || { tail -n 3 run.log >&2 && die "no record of version $1 lands"; }; }
loaded() { awk '/memfd:mask.so/ { seen[$5] = 1 } END { print length(seen) }' /proc/$server/maps; }
few() { [ "$(loaded)" -le 2 ]; } # the live one, and the one that the process was started with
maps() { wc -l </proc/$server/maps; }
memory_kib() { awk '/^RssAnon/ { print $2 }' /proc/$server/status; }

version 1
start
runs 1
for ((v = 2; v <= versions; v++)); do
    version "$v"
    client deploy topology.yaml --plan now --wait >deploy.out 2>&1 || { cat deploy.out >&2 && die "version $v is not live"; }
    runs "$v"
    wait_for 20 few || die "$(loaded) versions of the plugin are in the process"
    if [ "$v" = 3 ]; then maps_then=$(maps) memory_then=$(memory_kib); fi
done
[ "$(maps)" -le $((maps_then + 12)) ] || die "the process has $(maps) mappings after $versions versions, $maps_then after 3"
[ "$(memory_kib)" -le $((memory_then + 65536)) ] || die "the process has $(memory_kib) KiB after $versions versions, $memory_then after 3"
echo "$versions versions: mappings $maps_then to $(maps), memory $memory_then to $(memory_kib) KiB, $(loaded) loaded"
good=$(live)
[ "$good" = "$versions" ] || die "generation $good is live after $versions versions"

# ---- one that fails ----
version 101 1
printf 'steps: [{ canary: 50%%, hold: 10m }, live]\njudge: { warm_up: 0s }\n' >canary.yaml
code=0
client deploy topology.yaml --plan canary.yaml --wait >deploy.out 2>&1 || code=$?
[ $code = 3 ] || { cat deploy.out >&2 && die "a canary that fails ended with $code, not 3 (rolled back)"; }
grep -q 'version 101 cannot go on' deploy.out || { cat deploy.out >&2 && die 'the rollback does not say what the plugin said'; }
[ "$(live)" = "$good" ] || die 'another generation is live after a canary that failed'
runs "$versions"
wait_for 20 few || die "$(loaded) versions of the plugin are in the process after a rollback"
echo 'a canary that fails is taken back'

# ---- one that fails once it is live ----
version 103 1
client deploy topology.yaml --plan now >deploy.out 2>&1 || { cat deploy.out >&2 && die 'version 103 is not live'; }
is_good() { [ "$(live)" = "$good" ]; }
wait_for 20 is_good || { client history >&2 && die 'a live version that fails is not taken back'; }
client history | grep -q 'it could not go on.*version 103 cannot go on' || { client history >&2 && die 'history does not say why it was taken back'; }
runs "$versions"
echo 'a live version that fails is taken back'

# ---- kill -9 blames nobody ----
for _ in 1 2; do
    kill -KILL $server && { wait $server 2>/dev/null || true; }
    start
    runs "$versions"
done
[ "$(live)" = "$good" ] || die 'another generation is live after kill -9'
client history --json >history.json
python3 - <<'PY' || die 'a kill -9 is counted as a crash'
import json, sys
sys.exit(any(row["crashes"] for row in json.load(open("history.json"))["generations"]))
PY

# ---- one that crashes the process ----
version 102 0 1
client deploy topology.yaml --plan now >deploy.out 2>&1 || true # its answer may be cut off
code=0 && wait $server || code=$?
[ $code = 139 ] || die "a plugin that crashes ended the process with $code, not by SIGSEGV"
launch
code=0 && wait $server || code=$?
[ $code = 139 ] || { tail -n 3 run.log >&2 && die "after one crash the live generation does not come back (ended with $code)"; }
start
[ "$(live)" = "$good" ] || die "generation $(live) is live after two crashes, not $good"
runs "$versions"
client history >history.out
grep -E 'failed.*crashed the process twice.*SIGSEGV in mask' history.out || { cat history.out >&2 && die 'history does not say who crashed the process'; }
kill -TERM $server
wait $server || { tail -n 3 run.log >&2 && die 'the process does not end well'; }
for p in 0 1; do "$sluice" cat spool orders.logs --partition $p --data-dir state >source.$p; done
python3 - <<'PY' || die 'the landing zone has not each record once'
import collections, glob, re, sys
landed = collections.Counter(re.sub(rb',"v":\d+}$', b"}", line.rstrip()) for path in glob.glob("state/landing/*.ndjson") for line in open(path, "rb"))
total = sum(landed.values())
for p in 0, 1:
    source = [line.rstrip() for line in open(f"source.{p}", "rb")]
    ends = next((i for i, line in enumerate(source) if line not in landed), len(source))  # behind it: appended, not read any more
    for i, line in enumerate(source):
        if landed.pop(line, 0) != (1 if i < ends else 0):
            sys.exit(f"partition {p}: record {i} of {len(source)} is not there once; the first that is missing is {ends}")
if landed:
    sys.exit(f"{len(landed)} records are none of the source")
print(f"{total} records, each once")
PY
finish
