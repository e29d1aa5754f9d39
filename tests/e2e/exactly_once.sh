#!/usr/bin/env bash
# exactly_once.sh: one input, two sinks that exist only by commits: files and an exactly-once Kafka topic, with kill -9 at random
# moments: both hold each record once, and a read_committed reader sees each once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 25000 250000) # in each of 8 partitions
kills=$(count 8 20)
start_kafka "$(count 1 3)"
make_topic logs 8
make_topic copy 8
fill logs 8 0 $((records / 2))
topology "$work/t.yaml" 500ms "  copy: { type: kafka, inputs: [parsed], brokers: [\"${brokers//,/\", \"}\"], topic: copy, exactly_once: true }"
"$sluice" run "$work/t.yaml" --for 1ms --quiet --data-dir "$work/data" # the first start makes topics, and takes its time

trickle logs 8 $((records / 2)) $((records / 2)) "$(count 15 60)" &
producer=$!
KILL_MS=$(count 4000 6000) kill_while "$kills" "$sluice" run "$work/t.yaml" --quiet --data-dir "$work/data"
wait $producer || die 'the producer failed'
"$sluice" run "$work/t.yaml" --once --data-dir "$work/data" 2>&1 | tail -n 8
"$support/landing_check" --partitions 8 --records "$records" "$work/data/landing"
kcat -C -q -e -b "$brokers" -t copy -o beginning -X isolation.level=read_committed -f '%s\n' >"$work/copy"
# The order between the partitions of the copy is nobody's: each once is what counts. No two records are the same.
there=$(wc -l <"$work/copy") apart=$(sort -u "$work/copy" | wc -l)
[ "$there $apart" = "$((8 * records)) $((8 * records))" ] || die "copy: $there records, $apart different ones, instead of $((8 * records))"
echo "copy: $((8 * records)) records, each once"
finish
