#!/usr/bin/env bash
# group.sh: three processes, each with its own data_dir, node and landing folder, join, leave and are killed under load; the three
# folders together hold each record once. Then one is stopped between its files and its commit for longer than its session.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 25000 250000) # in each of 8 partitions
events=$(count 8 40)          # joins, leaves, kills

start_kafka "$(count 1 3)"
make_topic logs 8
trickle logs 8 0 "$records" "$(count 24 180)" &
producer=$!
nodes a b c
start_node a
start_node b
start_node c
for ((i = 0; i < events; i++)); do
    node=$(pick a b c)
    if [ -z "${node_pid[$node]:-}" ]; then
        start_node "$node"
    elif ((RANDOM % 2)); then
        end_node "$node" KILL
    else
        end_node "$node" TERM
    fi
    pause_ms "$(moment 300 3500)"
done
wait $producer || die 'the producer failed'
for node in a b c; do [ -n "${node_pid[$node]:-}" ] || start_node "$node"; done
drained $((8 * records)) "$(count 60 600)" || die "not drained: $(tail -n 3 "$work"/*.log)"
for node in a b c; do end_node "$node" TERM; done
"$support/landing_check" --partitions 8 --records "$records" "$work"/{a,b,c}/landing
no_temporaries "$work"/{a,b,c}/landing
finish
