#!/usr/bin/env bash
# replay_kafka.sh: sluice replay --dead of a topology that reads Kafka: its landing zone is committed with Kafka's offsets, the letters by
# this host, and both are one zone: each record is there once. Without a server, killed again and again; in a running server that
# lands new records meanwhile, killed likewise.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 6000 100000) # in each of 2 partitions
kills=$(count 4 30)
start_kafka 1
make_topic logs 2
nodes a
sed 's/format: json/format: clf/' "$work/a/t.yaml" >"$work/a/wrong.yaml"
sluice_a() { "$sluice" "$1" --config "$work/a/sluice.yaml" "${@:2}" --data-dir "$work/a"; }
replay() { "$sluice" replay --dead "$work/a/t.yaml" --config "$work/a/sluice.yaml" --data-dir "$work/a"; }
landed() { "$support/landing_check" --partitions 2 --records "$1" "$work/a/landing" >"$work/landed" 2>&1; }
said() { grep -qF "$1" <<<"$2" || die "says: $2"; }

echo 'a wrong format makes letters of all; the topology, mended, lands what comes later'
fill logs 2 0 "$records"
if out=$(replay 2>&1); then die "a replay before there was anything says: $out"; fi
sluice_a run "$work/a/wrong.yaml" --once >>"$work/log" 2>&1 || die "wrong: $(tail -n 3 "$work/log")"
[ "$("$sluice" cat "$work/a/dead" | wc -l)" = $((2 * records)) ] || die 'not every record became a letter'
sed 's/inputs: \[parsed\]/inputs: [parsed], exactly_once: true/; s/type: files, \(inputs.*true\), .*/type: kafka, \1, brokers: ["'"$brokers"'"], topic: t }/' \
    "$work/a/t.yaml" >"$work/a/exactly.yaml"
if out=$("$sluice" replay --dead "$work/a/exactly.yaml" --config "$work/a/sluice.yaml" --data-dir "$work/a" 2>&1); then die "says: $out"; fi
said 'sink landing is exactly_once' "$out"
fill logs 2 "$records" "$records"
sluice_a run "$work/a/t.yaml" --once >>"$work/log" 2>&1 || die "right: $(tail -n 3 "$work/log")"

echo 'without a server, killed while it replays half of them'
KILL_MS=400 kill_while "$kills" "$sluice" replay --dead "$work/a/t.yaml" --config "$work/a/sluice.yaml" --data-dir "$work/a"
out=$(replay 2>&1) || die "replay: $out"
landed $((2 * records)) || die "after a replay: $(tail -n 3 "$work/landed")"
said '0 letters sent again' "$(replay)"

echo 'in a running server that lands new records, killed and started again'
rm -rf "$work/a"
group=second nodes a
sed 's/format: json/format: clf/' "$work/a/t.yaml" >"$work/a/wrong.yaml"
sluice_a run "$work/a/wrong.yaml" --once >>"$work/log" 2>&1 || die "wrong: $(tail -n 3 "$work/log")"
trickle logs 2 $((2 * records)) "$records" 6 &
producer=$!
for ((i = 0; i < 3; i++)); do
    start_node a
    wait_for 30 curl -fs -o "$work/ready" --unix-socket "$work/a/control.sock" http://sluice/readyz || die "not ready: $(tail -n 3 "$work/a.log")"
    replay >>"$work/replayed" 2>&1 &
    asked=$!
    pause_ms "$(moment 5 400)"
    end_node a KILL || true
    wait $asked || true
done
start_node a
wait_for 30 curl -fs -o "$work/ready" --unix-socket "$work/a/control.sock" http://sluice/readyz || die "not ready: $(tail -n 3 "$work/a.log")"
replay >>"$work/replayed" 2>&1 || die "replay: $(tail -n 3 "$work/replayed")"
wait $producer || die 'the producer failed'
wait_for 90 landed $((3 * records)) || die "$(tail -n 4 "$work/landed"); $(tail -n 2 "$work/replayed")"
end_node a TERM
landed $((3 * records)) || die "$(tail -n 4 "$work/landed")"
tail -n 1 "$work/landed"
finish
