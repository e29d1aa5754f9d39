#!/usr/bin/env bash
# stuck_kafka.sh: a Kafka broker that is stopped in the middle (SIGSTOP) behind a sink with a queue: the landing zone beside it goes on,
# also over kill -9 of sluice; once the broker goes on, the topic has every record, and its partition is in order.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 20000 200000) # a round
rounds=4
start_kafka 1
make_topic out 1
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
  out: { type: kafka, inputs: [parsed], brokers: ["$brokers"], topic: out, key: service, required: false }
YAML
begin() {
    "$sluice" run "$work/t.yaml" --data-dir "$work/data" >>"$work/log" 2>&1 &
    pid=$!
}
landed() { [ "$(cat "$work"/data/landing/all*/*.ndjson "$work"/data/landing/all*.ndjson 2>/dev/null | wc -l)" -ge "$1" ]; }
queued() { "$sluice" status --json --socket "$work/data/control.sock" | python3 -c '
import json, sys
print(json.load(sys.stdin)["topologies"][0]["queues"][0]["records"])'; }
queue_holds() { [ "$(queued 2>/dev/null || echo 0)" -ge "$1" ]; }
queue_is_empty() { [ "$(queued 2>/dev/null || echo 1)" = 0 ]; }
arrived() { kcat -C -e -q -b "$brokers" -t out -p 0 -o beginning 2>/dev/null | grep -o '"n":[0-9]*' | cut -d: -f2 >"$work/arrived"; }
# shellcheck disable=SC2329 # called by wait_for
all_arrived() { arrived && [ "$(sort -un "$work/arrived" | wc -l)" -ge "$1" ]; }

: >"$work/in.ndjson"
begin
"$support/numbered" 0 0 "$records" >>"$work/in.ndjson"
wait_for 60 all_arrived "$records" || die 'nothing wrong, and not all is there'
kafka pause 1
for ((round = 1; round < rounds; round++)); do
    "$support/numbered" 0 $((round * records)) "$records" >>"$work/in.ndjson"
    wait_for 60 landed $(((round + 1) * records)) || die "round $round does not land beside a broker that is stopped"
    wait_for 30 queue_holds 1 || die "round $round: nothing is queued"
    if [ $round = 1 ]; then
        pause_ms "$(moment 0 1500)"
        kill -KILL $pid || die "the run ended by itself: $(tail -n 3 "$work/log")"
        wait $pid 2>/dev/null || true
        begin
    fi
done
wait_for 30 queue_holds $((2 * records)) || die "only $(queued) records wait in the queue"
kafka resume 1
wait_for 90 queue_is_empty || die "$(queued) records are still in the queue of a broker that goes on"
wait_for 60 all_arrived $((rounds * records)) || die "the topic has $(sort -un "$work/arrived" | wc -l) of $((rounds * records)) records"
kill -TERM $pid
wait $pid || die 'the run failed'
python3 - "$work/arrived" $((rounds * records)) <<'PY' || die 'the topic is not in order'
import sys
numbers = [int(n) for n in open(sys.argv[1])]
first, again = 0, 0
for n in numbers:  # what is sent again after a kill begins earlier; no first arrival overtakes another
    if n == first:
        first += 1
    elif n < first:
        again += 1
    else:
        sys.exit(f"record {n} came where {first} was due")
print(f"in the topic: {first} of {sys.argv[2]} records in order, {again} of them again after the kill")
sys.exit(first != int(sys.argv[2]))
PY
"$support/landing_check" --partitions 1 --records $((rounds * records)) "$work/data/landing"
finish
