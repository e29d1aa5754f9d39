#!/usr/bin/env bash
# stuck_sink.sh: a back-end that accepts and never answers, beside a landing zone: what comes lands undelayed, memory and queue stay in
# their bounds, also over kill -9; once the back-end answers, every record arrives there, and its queue is empty.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

rounds=$(count 4 20)
records=$(count 20000 100000) # a round
total=$((rounds * records))

"$support/mute_server" "$work/port" "$work/arrived" 2>"$work/server.log" &
server=$!
wait_for 10 test -s "$work/port" || die 'the back-end did not start'
cat >"$work/t.yaml" <<YAML
name: stuck
memory: 64MiB
commit: { every: 200ms }
sources:
  logs: { type: file, paths: ["$work/in.ndjson"] }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: all, compression: none, roll: { bytes: 8MiB, every: 200ms } }
  mute:
    type: http
    inputs: [parsed]
    url: "http://127.0.0.1:$(cat "$work/port")/"
    timeout: 1s
    connect_timeout: 1s
    batch: { every: 100ms }
    required: false
    queue: { bytes: 1GiB }
YAML
begin() {
    "$sluice" run "$work/t.yaml" --data-dir "$work/data" >>"$work/log" 2>&1 &
    pid=$!
}
landed() { [ "$(cat "$work"/data/landing/all*/*.ndjson "$work"/data/landing/all*.ndjson 2>/dev/null | wc -l)" -ge "$1" ]; }
queued() { "$sluice" status --json --socket "$work/data/control.sock" | python3 -c '
import json, sys
print(json.load(sys.stdin)["topologies"][0]["queues"][0]["'"$1"'"])'; }
queue_holds() { [ "$(queued records 2>/dev/null || echo 0)" -ge "$1" ]; }
queue_is_empty() { [ "$(queued records 2>/dev/null || echo 1)" = 0 ]; }
peak_kb() { awk '/^VmHWM/ { print $2 }' "/proc/$pid/status"; }

: >"$work/in.ndjson"
begin
for ((round = 0; round < rounds; round++)); do
    "$support/numbered" 0 $((round * records)) "$records" >>"$work/in.ndjson"
    wait_for 60 landed $(((round + 1) * records)) || die "round $round does not land beside a back-end that does not answer"
    if ((round + 1 < rounds)); then
        pause_ms "$(moment 0 600)"
        kill -KILL $pid || die "the run ended by itself: $(tail -n 3 "$work/log")"
        wait $pid 2>/dev/null || true
        begin
    fi
done
wait_for 60 queue_holds $((total - records)) || die "only $(queued records) of $total records wait in the queue"
bytes=$(queued bytes)
peak=$(peak_kb)
[ ! -s "$work/arrived" ] || die 'the back-end was not mute'
[ "$bytes" -le $((1024 * 1024 * 1024)) ] || die "the queue takes $bytes bytes, above its bound"
[ "$peak" -le $((256 * 1024)) ] || die "$peak KiB of memory with memory: 64MiB"
echo "beside a mute back-end: $total records landed, $(queued records) queued in $bytes bytes, peak $peak KiB"

kill -USR1 $server
wait_for 60 queue_is_empty || die "$(queued records) records are still in the queue of a back-end that answers again"
kill -TERM $pid
wait $pid || die 'the run failed'
python3 - "$work/arrived" "$total" <<'PY' || die 'the back-end does not have every record'
import re, sys
seen = {}
for line in open(sys.argv[1], "rb"):
    n = int(re.search(rb'"n":(\d+),', line).group(1))
    seen[n] = seen.get(n, 0) + 1
total = int(sys.argv[2])
missing = [n for n in range(total) if n not in seen]
print(f"at the back-end: {len(seen)} of {total} records, {sum(seen.values()) - len(seen)} of them again after a kill")
sys.exit(len(missing) > 0 or len(seen) != total)
PY
"$support/landing_check" --partitions 1 --records "$total" "$work/data/landing"
finish
