#!/usr/bin/env bash
# term.sh: under load: SIGTERM and a new start, a broker killed and restarted, leaders moved, partitions added, a topic that matches
# the pattern later. Each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 12000 250000) # in each of 12 partitions
terms=$(count 3 12)
start_kafka 3
make_topic logs 8
trickle logs 8 0 "$records" "$(count 30 240)" &
producer=$!
# What these topics need is refreshed each five minutes; that shall not be waited for.
# Shorter sessions end while the group's coordinator is being replaced: a source's own is 45s; 10s moves partitions sooner here.
session=10s topic='^logs' source_more=', librdkafka: { topic.metadata.refresh.interval.ms: 1000 }' nodes a
committing() { [ "$(told a committed)" -gt "${1:-0}" ]; }
# Where the machine is so slow that all there was is committed already, there is nothing more to wait for.
progress() { committing "$1" || is_drained $((8 * records)); }

start_node a
wait_for 60 committing || die "nothing is committed: $(tail -n 3 "$work/a.log")"
for ((i = 1; i <= terms; i++)); do
    end_node a TERM
    start_node a
    pause_ms "$(moment 500 3000)"
done
wait_for 60 committing || die "nothing is committed after $terms SIGTERM: $(tail -n 3 "$work/a.log")"

killed=$(moment 1 3)
echo "broker $killed is killed"
kafka kill "$killed"
before=$(told a committed)
wait_for 120 progress "$before" || die "no commit while a broker is away: $(tail -n 3 "$work/a.log")"
kafka start "$killed"
kafka wait 60
kafka tool LeaderElectionCommand --election-type preferred --all-topic-partitions >>"$work/tools.log" 2>&1 || die 'leaders were not moved back'
echo 'leaders are back at their first brokers'
before=$(told a committed)
wait_for 120 progress "$before" || die "no commit after leaders moved: $(tail -n 3 "$work/a.log")"

kafka tool TopicCommand --alter --topic logs --partitions 10 >>"$work/tools.log" 2>&1 || die 'no more partitions'
make_topic logs.late 2
echo 'partitions and a topic were added'
for ((p = 8; p < 12; p++)); do
    if [ $p -lt 10 ]; then to=(logs "$p"); else to=(logs.late $((p - 10))); fi
    fill_one "${to[@]}" "$p" 0 "$records" || die "producing to ${to[*]}"
done
wait $producer || die 'the producer failed'
drained $((12 * records)) "$(count 60 600)" || die "not drained: $(tail -n 3 "$work/a.log")"
end_node a TERM
"$support/landing_check" --partitions 12 --records "$records" "$work/a/landing"
finish
