#!/usr/bin/env bash
# plugin.sh: the documentation's plugin is built by its own CMakeLists.txt against an installed prefix, needs no symbol of ours, and
# masks, drops, derives and sets aside; its settings are refused in the binder's words; wrong ones are refused at check with the reason.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 20000 500000)
command -v cmake >/dev/null || skip 'no cmake'
# As deploy/install and cmake --install put it.
install -D -m 0644 "$root/runtime/engine/plugin.h" "$work/prefix/include/sluice/plugin.h"
grep -q 'include/sluice/plugin.h' "$root/deploy/install" || die 'deploy/install does not install sluice/plugin.h'
cp -r "$root/docs/plugin" "$work/source" # nothing else of the repository is in reach

# build NAME [DEFINITION...]: $work/NAME.so
build() {
    local name=$1
    shift
    if ! { cmake -G Ninja -S "$work/source" -B "$work/build-$name" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_BUILD_TYPE=Release \
        -DMASK_DEFINITIONS="$(IFS=';' && echo "$*")" && cmake --build "$work/build-$name"; } >"$work/build.log" 2>&1; then
        cat "$work/build.log" >&2
        die "$name was not built"
    fi
    cp "$work/build-$name/mask.so" "$work/$name.so"
}
build mask
if nm -u "$work/mask.so" | grep -E ' sl_'; then die 'the plugin needs symbols of ours at link'; fi
nm -D --defined-only "$work/mask.so" | grep -q ' T sl_plugin$' || die 'the plugin exports no sl_plugin'

# config FILE PLUGIN SETTINGS
config() {
    cat >"$1" <<YAML
name: masked
commit: { every: 100ms }
sources:
  logs: { type: file, paths: ["$work/in.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
  mask: { type: plugin, inputs: [parsed], path: ./$2.so, settings: { $3 } }
sinks:
  landing: { type: files, inputs: [mask], dir: landing, compression: none, roll: { bytes: 64MiB, every: 1s } }
dead_letters: { type: files, dir: letters, compression: none }
YAML
}
{
    "$support/numbered" 0 0 "$records"
    printf '{"p":0,"n":"text","level":"error","msg":"a \\"quoted\\" one"}\n{"p":0,"level":"error","msg":7}\n{"p":0,"level":"error"}\n'
} >"$work/in.ndjson"
config "$work/masked.yaml" mask 'field: msg, with: hidden, drop: debug, copies: 1'
"$sluice" run "$work/masked.yaml" --once --quiet --data-dir "$work/state" || die 'the run failed'
cat >"$work/check.py" <<'PY'
import glob, json, sys
work = sys.argv[1]
def lines(folder):
    return [json.loads(l) for path in glob.glob(f"{work}/state/{folder}/*.ndjson") for l in open(path)]
source = [json.loads(l) for l in open(f"{work}/in.ndjson")]
masked = [r for r in source if r["level"] != "debug" and isinstance(r.get("msg"), str)]
plain = [r for r in source if r["level"] != "debug" and "msg" not in r]
want = sorted(json.dumps(dict(r, msg="hidden")) for r in masked) + [json.dumps(r) for r in plain] + ['{"copy": true}'] * len(masked)
got = sorted(map(json.dumps, lines("landing")))
assert got == sorted(want), (len(got), len(want))
(letter,) = lines("letters")
assert letter["reason"] == "mask: the field is no text" and letter["stage"] == "mask", letter
print(f"{len(masked)} records masked, {len(masked)} derived, 1 set aside")
PY
python3 "$work/check.py" "$work" || die 'the records are not those that the plugin makes'
"$sluice" audit "$work/masked.yaml" --data-dir "$work/state" >"$work/said" 2>&1 || { cat "$work/said" >&2; die 'audit finds differences'; }
"$sluice" operators | grep -q '^ *plugin ' || die 'sluice operators does not list plugin'

# refused WHAT PLUGIN SETTINGS PATTERN
refused() {
    config "$work/wrong.yaml" "$2" "$3"
    if "$sluice" check "$work/wrong.yaml" >"$work/said" 2>&1; then die "$1 passes check"; fi
    grep -qE "wrong.yaml:7:[0-9]+: error: operators.mask.*$4" "$work/said" || { cat "$work/said" >&2; die "$1: not refused with $4"; }
    echo "refused: $1"
}
refused 'an unknown setting' mask 'field: msg, wiht: x' 'settings: unknown key "wiht"'
refused 'a missing setting' mask 'with: x' 'settings.field is missing'
refused 'a word that is not allowed' mask 'field: msg, drop: loud' 'settings.drop: "loud" is not allowed'
refused 'a number out of bounds' mask 'field: msg, copies: 11' 'settings.copies: 11 is too large'
refused 'what the plugin itself refuses' mask "field: msg, with: 'a\"b'" 'settings: with: .* cannot stand in a JSON string'
build major SL_TRY_MAJOR=2
refused 'another major version' major 'field: msg' 'built for major version 2 .*, this is 1'
build short SL_TRY_BYTES=16
refused 'a table too short' short 'field: msg' 'table has 16 bytes'
build magic SL_TRY_MAGIC=7
refused 'a table of something else' magic 'field: msg' 'begins with 00000007'
build process SL_TRY_PROCESS=NULL
refused 'no process()' process 'field: msg' 'has no process\(\)'
build null SL_TRY_NULL
refused 'no table at all' null 'field: msg' 'gave NULL'
build named SL_TRY_NAME=other
refused 'no function sl_plugin' named 'field: msg' 'exports no function sl_plugin'
build needs SL_TRY_NEEDS_SYMBOL
refused 'a symbol of ours at link' needs 'field: msg' 'needs the symbol sl_fail_at'
build settings SL_TRY_SETTINGS=8
refused 'settings beyond their struct' settings 'field: msg' 'lies outside of its settings'
cat >>"$work/source/mask.c" <<'C'
__asm__(".data\n.globl unique\n.type unique, @gnu_unique_object\n.size unique, 4\nunique: .long 0\n.text\n");
C
build unique
refused 'a GNU_UNIQUE symbol' unique 'field: msg' 'GNU_UNIQUE symbol unique'
finish
