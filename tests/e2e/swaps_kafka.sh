#!/usr/bin/env bash
# swaps_kafka.sh: versions of a topology go live on real Kafka under load: nothing lost, nothing doubled, and the group does not notice: no
# assignment is called, and the coordinator's generation and members stay. New topics in a version are a rebalance; with cooperative-sticky
# no partition that stays is read again, but for a commit that the group's move overtook: the broker refuses it, and what it held is read again.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

swaps=$(count 10 200)
pause=$(count 150 300) # ms that a version works
records=$(count 30000 250000) # in each of 4 partitions
start_kafka "$(count 1 3)"
make_topic logs 4
cd "$work"

# swapper ASSIGNOR MORE...: the group is named after it
swapper() {
    local kafka="type: kafka, brokers: [\"${brokers//,/\", \"}\"], group: $1, session_timeout: 10s, assignor: $1"
    "$support/swapper" --sluice "$sluice" --data-dir "$1/state" --source "{ $kafka, topics: [logs] }" \
        --source "{ $kafka, topics: [logs], on_gap: record, start: latest }" "${@:2}"
}
client() { "$sluice" "$1" --data-dir "$group/state" "${@:2}"; }
ask() { client status --json 2>/dev/null | python3 -c "import json,sys; t=json.load(sys.stdin)['topologies'][0]; print($1)" 2>/dev/null; }
counter() { # NAME: of the source, over all members
    curl -s --max-time 5 --unix-socket "$group/state/control.sock" http://sluice/metrics |
        awk -v name="sluice_source_$1{" 'index($0, name) == 1 { sum += $NF; seen = 1 } END { print seen ? sum : "none" }'
}
generation() { # as the coordinator writes it down
    cat "$work"/kafka/*/log | grep -ao "Stabilized group $group generation [0-9]*" | awk '{ if ($NF > most) most = $NF } END { print most + 0 }'
}
members() { kafka tool consumer.group.ConsumerGroupCommand --describe --members --verbose --group "$group" 2>/dev/null | awk -v g="$group" '$1 == g' | sort; }
committed() { ask 'sum(s["committed"] for s in t["sources"])' || echo 0; }
are_committed() { [ "$(committed)" -ge "$1" ]; }
launch() {
    "$sluice" run "$1" --quiet --data-dir "$group/state" 2>>"$group/run.log" &
    server=$!
    wait_for 60 are_committed 1 || { tail -n 5 "$group/run.log" >&2 && die "$group: nothing is committed"; }
}
end() { # RECORDS in each of PARTITIONS
    wait_for 120 are_committed $(($1 * $2)) || die "$group: committed $(committed) of $(($1 * $2)): $(tail -n 3 "$group/run.log")"
    kill -TERM $server
    wait $server || { tail -n 5 "$group/run.log" >&2 && die "$group: the process does not end well"; }
    local landings
    mapfile -t landings < <(awk -v g="$group" '$1 == "landing" && !seen[$2]++ { print g "/state/" $2 }' "$group/dirs")
    "$support/landing_check" --partitions "$2" --records "$1" "${landings[@]}" || die "$group: the landing zone, over all its folders"
    "$support/landing_check" --partitions "$2" --records "$1" "$group/state/copy" || die "$group: the copy, under all its names"
}

# ---- the group does not notice ----
group=range
mkdir $group
first=$(swapper $group --first)
trickle logs 4 0 "$records" "$(count 8 120)" &
producer=$!
launch "$first"
settled() { [ "$(members | wc -l)" = 2 ] && [ "$(counter kafka_assignments_total)" != none ]; }
wait_for 60 settled || die "no two members: $(members)"
rebalances=$(counter kafka_rebalances_total) before=$(members) generation=$(generation)
if [ "$rebalances" = none ] || [ "$generation" = 0 ]; then die "metric $rebalances, generation $generation"; fi
swapper $group --pid $server --swaps "$swaps" --seed $RANDOM --every "$pause" || { tail -n 5 $group/run.log >&2 && die 'a swap failed'; }
now=$(counter kafka_rebalances_total)
[ "$now" = "$rebalances" ] || die "assignments and revocations: $rebalances before the swaps, $now after"
now=$(generation)
[ "$now" = "$generation" ] || die "the group's generation: $generation before the swaps, $now after"
now=$(members)
[ "$now" = "$before" ] || die "the coordinator's members before: $before"$'\n'"after: $now"
echo "$swaps swaps: $rebalances callbacks and generation $generation of the group, before and after; 2 members as before"
wait $producer || die 'the producer failed'
end "$records" 4

# ---- other topics: a rebalance, in which what stays goes on ----
group=cooperative-sticky
mkdir $group
make_topic more 2
first=$(swapper $group --first)
fill_more() { fill_one more 0 4 0 "$records" && fill_one more 1 5 0 "$records"; }
fill_more &
producer=$!
launch "$first"
wait_for 60 settled || die "no two members: $(members)"
wait $producer || die 'the producer failed'
rebalances=$(counter kafka_rebalances_total) skipped=$(counter kafka_skipped_total) rewinds=$(ask 't["rewinds"]') refused=$(ask 't["commit_failures"]')
sed 's/topics: \[logs\]/topics: [logs, more]/; s/fields: { version: 1 }/fields: { version: 2 }/' "$first" >$group/topics.yaml
client deploy $group/topics.yaml --plan now >$group/deploy.out 2>&1 || { cat $group/deploy.out >&2 && die 'a version with other topics is refused'; }
six() { [ "$(ask 'len(t["sources"])')" = 6 ]; }
wait_for 60 six || die "the new topic's partitions are not there: $(ask 't["sources"]')"
[ "$(counter kafka_rebalances_total)" -gt "$rebalances" ] || die 'other topics, and no rebalance'
again=$(($(ask 't["rewinds"]') - rewinds)) refused=$(($(ask 't["commit_failures"]') - refused)) sinks=$(ask 'len(t["sinks"])')
if [ $refused = 0 ]; then
    [ "$again $(counter kafka_skipped_total)" = "0 $skipped" ] || die 'a partition that stays was read again'
elif [ $refused -gt 4 ] || [ $again -gt $((refused * sinks)) ]; then
    die "$refused commits refused, and $again sinks read again"
fi
echo "other topics: $(($(counter kafka_rebalances_total) - rebalances)) callbacks more; $refused commits were under way in that moment, $again sinks read again what these held"
end "$records" 6
finish
