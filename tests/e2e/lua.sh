#!/usr/bin/env bash
# lua.sh: a script that loops, eats memory, fails, never returns, makes two records or none: each costs its record a dead letter with
# the message and nothing else; the topology beside it in the same process is whole; with kill -9 on the way every record and every
# derived one is there exactly once, and audit proves it.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

"$sluice" operators | grep -q '^ *lua ' || skip 'built without Lua'
records=$(count 20000 250000) # in each of 2 files
kills=$(count 4 20)

for p in 0 1; do "$support/numbered" $p 0 "$records" >"$work/in-$p.ndjson"; done
cat >"$work/bad.lua" <<'LUA'
function process(record)
  local kind = record:get("n") % 5000
  if kind == 1 then while true do pcall(function() while true do end end) end end
  if kind == 2 then local s = "x" while true do s = s .. s end end
  if kind == 3 then return record:get("n").x end
  if kind == 4 then return string.find(string.rep("a", 60000), ".-.-.-.-.-b") end
  if kind == 5 then return "no json" end
  if kind % 100 == 6 then return { record, { copy = true, p = record:get("p"), n = record:get("n"), service = "copies" } } end
  if kind % 100 == 7 then return {} end
  record:set("seen", true)
end
LUA
# config NAME INPUT LETTERS OPERATOR: reads all, through the script or past it
config() {
    cat >"$work/$1.yaml" <<YAML
name: $1
consumers: 2
commit: { every: 100ms }
sources:
  logs: { type: file, paths: ["$work/in-*.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
$4
sinks:
  landing: { type: files, inputs: [$2], dir: landing-$1, compression: none, roll: { bytes: 1MiB, every: 200ms } }
$3
YAML
}
config scripted script 'dead_letters: { type: files, dir: letters, compression: none }' \
    '  script: { type: lua, inputs: [parsed], script: bad.lua, fields: [n] }'
config healthy parsed '' ''
run=("$sluice" run "$work/scripted.yaml" "$work/healthy.yaml" --once --quiet --data-dir "$work/state")

KILL_MS=900 kill_while "$kills" "${run[@]}"
"${run[@]}" >>"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die 'the last run failed'; }

"$support/landing_check" --partitions 2 --records "$records" "$work/state/landing-healthy"
cat >"$work/check.py" <<'PY'
import collections, glob, json, sys
work, records = sys.argv[1], int(sys.argv[2])
def lines(folder):
    for path in glob.glob(f"{work}/state/{folder}/**/*.ndjson", recursive=True):
        yield from map(json.loads, open(path))
want, copies, letters = collections.Counter(), collections.Counter(), {}
for p in range(2):
    for n in range(records):
        kind = n % 5000
        if 1 <= kind <= 5: letters[p, n] = kind
        elif kind % 100 == 7: continue
        else: want[p, n] += 1
        if kind % 100 == 6: copies[p, n] += 1
got, got_copies = collections.Counter(), collections.Counter()
for line in lines("landing-scripted"):
    (got_copies if line.get("copy") else got)[line["p"], line["n"]] += 1
    assert line.get("copy") or line["n"] % 100 == 6 or line["seen"] is True, line
assert got == want, f"{sum((want - got).values())} records are missing, {sum((got - want).values())} too many"
assert got_copies == copies, f"{sum((copies - got_copies).values())} derived ones are missing, {sum((got_copies - copies).values())} too many"
says = {1: "bad.lua:3: more than 100000 instructions", 2: "bad.lua: more than 32768 KiB of memory", 3: "bad.lua:5: attempt to index",
        4: "bad.lua: more than 100 ms of CPU time", 5: "the script made a record that is not JSON"}
seen = collections.Counter()
for letter in lines("letters"):
    raw = json.loads(letter["raw"])
    seen[raw["p"], raw["n"]] += 1
    assert says[letters[raw["p"], raw["n"]]] in letter["reason"], letter["reason"]
    assert letter["stage"] == "script", letter["stage"]
assert seen == collections.Counter(letters.keys()), "letters are missing or double"
print(f"{sum(got.values())} records, {sum(got_copies.values())} derived, {len(letters)} dead letters with their messages: each once")
PY
python3 "$work/check.py" "$work" "$records" || die 'the records are not those that the script makes'
for topology in scripted healthy; do
    "$sluice" audit "$work/$topology.yaml" --data-dir "$work/state" >"$work/said" 2>&1 || { cat "$work/said" >&2; die "audit of $topology"; }
    grep -q '^audit: good$' "$work/said" || { cat "$work/said" >&2; die "audit of $topology proves nothing"; }
done
finish
