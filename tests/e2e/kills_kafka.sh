#!/usr/bin/env bash
# kills_kafka.sh: real Kafka (3 brokers) in, landing zone out: each record once and in order, through kill -9 at random moments.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 25000 250000) # in each of 8 partitions
kills=$(count 5 20)
start_kafka 3
make_topic logs 8
fill logs 8 0 "$records"
topology "$work/t.yaml"

KILL_MS=$(count 2500 4000) kill_while "$kills" "$sluice" run "$work/t.yaml" --once --quiet --data-dir "$work/data"
"$sluice" run "$work/t.yaml" --once --data-dir "$work/data" 2>&1 | tail -n 8
"$support/landing_check" --partitions 8 --records "$records" "$work/data/landing"
finish
