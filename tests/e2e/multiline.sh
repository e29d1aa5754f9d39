#!/usr/bin/env bash
# multiline.sh: stack traces joined from a file that grows in pieces, with kill -9 at random moments and time-outs so short that records are
# torn: each line of the file is in exactly one record of each of two landing zones that commit at different times.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 8000 100000)
seed=${SLUICE_SEED:-1}
cd "$work"
"$support/format_lines" traces "$records" "$seed" >input
cat >t.yaml <<YAML
name: t
sources:
  in: { type: file, paths: [grows.log], read: follow, multiline: { stack_traces: [java, python, go], timeout: 10ms } }
operators:
  parsed: { type: parse, inputs: [in], format: text }
sinks:
  often: { type: files, inputs: [parsed], dir: often, compression: none, roll: { every: 100ms }, encoding: { codec: json } }
  seldom: { type: files, inputs: [parsed], dir: seldom, compression: none, roll: { every: 900ms }, encoding: { codec: json } }
YAML
: >grows.log
# Pieces of any length, so that lines and records come torn; the pause lets records time out.
python3 - "$seed" input grows.log "$(count 150 300)" <<'PYTHON' &
import random, sys, time
rng = random.Random(sys.argv[1])
text = open(sys.argv[2], "rb").read()
pause = float(sys.argv[4]) / 1000
with open(sys.argv[3], "ab", buffering=0) as out:
    at = 0
    while at < len(text):
        piece = rng.randint(1, max(2, len(text) // 40))
        out.write(text[at:at + piece])
        at += piece
        time.sleep(pause) # poll
PYTHON
producer=$!
KILL_MS=2000 kill_while "$(count 8 60)" "$sluice" run t.yaml --quiet --data-dir data
wait $producer || die 'the producer failed'
"$sluice" run t.yaml --once --data-dir data 2>&1 | tail -n 5
for zone in often seldom; do
    find data/$zone -name '*.ndjson' -exec cat {} + >$zone.records
    python3 - $zone.records input <<'PYTHON' || die "$zone, SLUICE_SEED=$seed"
import json, sys
lines = [line for record in open(sys.argv[1], encoding="utf-8") for line in json.loads(record)["message"].split("\n")]
wanted = open(sys.argv[2], encoding="utf-8").read().split("\n")[:-1]
if sorted(lines) != sorted(wanted):
    sys.exit(f"multiline: {len(lines)} lines landed, {len(wanted)} were written; missing or twice: "
             f"{sorted(set(wanted) - set(lines))[:3]} {sorted(set(lines) - set(wanted))[:3]}")
PYTHON
    echo "$zone: $(wc -l <$zone.records) records hold each of $(wc -l <input) lines once"
done
finish
