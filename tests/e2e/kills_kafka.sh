#!/usr/bin/env bash
# kills_kafka.sh: real Kafka (3 brokers) in, landing zone out: each record once and in order, through kill -9 at random moments, with
# half of the records waiting and half arriving meanwhile.
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
start_kafka 3
make_topic logs 8
fill logs 8 0 $((records / 2))
topology "$work/t.yaml"
"$sluice" run "$work/t.yaml" --for 1ms --quiet --data-dir "$work/data" # the first start makes topics, and takes its time

trickle logs 8 $((records / 2)) $((records / 2)) "$(count 15 60)" &
producer=$!
KILL_MS=$(count 4000 6000) kill_while "$kills" "$sluice" run "$work/t.yaml" --quiet --data-dir "$work/data"
wait $producer || die 'the producer failed'
"$sluice" run "$work/t.yaml" --once --data-dir "$work/data" 2>&1 | tail -n 8
"$support/landing_check" --partitions 8 --records "$records" "$work/data/landing"
no_temporaries "$work/data/landing"
finish
