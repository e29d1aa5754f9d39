#!/usr/bin/env bash
# upgrade_kafka.sh: three processes of one group on a real Kafka; one of them is upgraded again and again under load. Nothing is lost,
# nothing doubled, the other two see no assignment, and the gap without records is reported.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

upgrades=$(count 4 20)
seconds=$(count 240 200) # far more than the upgrades take: what is left then comes at once
records=$(count 60000 300000) # in each of 12 partitions
partitions=12

stop_backends() {
    # an upgraded node is no child of this script
    [ -n "${done:-}" ] || [ ! -s "$work/b/lock" ] || kill -KILL "$(holder b)" 2>/dev/null || true
    kafka down >/dev/null 2>&1 || true
}

# counted NODE NAME: a counter of the Kafka source
counted() {
    curl -s --max-time 5 --unix-socket "$work/$1/control.sock" http://sluice/metrics |
        awk -v name="sluice_source_$2" 'index($1, name) == 1 { sum += $2 } END { print sum + 0 }'
}
counts() { [ "$(counted "$1" kafka_rebalances_total)" -gt 0 ]; }
# settled: each has its third (the first to come had all of them for a moment)
settled() {
    local node
    for node in a b c; do [ "$(told "$node" count)" = $((partitions / 3)) ] || return 1; done
}
# flows NODE: it takes records, and had taken none of them when it was asked last
flows() {
    local now
    now=$(curl -s --max-time 5 --unix-socket "$work/$1/control.sock" http://sluice/metrics | awk '/^sluice_read_records_total/ { sum += $2 } END { print sum + 0 }')
    [ "$now" -gt "${flowed:-0}" ] && flowed=$now
}
holder() { cat "$work/$1/lock"; }
# upgraded NODE [OPTION...]: its last line as JSON into $work/report
upgraded() {
    local node=$1
    shift
    "$sluice" upgrade --socket "$work/$node/control.sock" --json "$@" >"$work/report" 2>"$work/upgrade.err"
}
report() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["report"].get(sys.argv[2], ""))' "$work/report" "$1"; }

start_kafka 1 # gaps are measured: on two cores three brokers would measure themselves
make_topic logs "$partitions"
consumers=1 session=30s nodes a b c
for node in a b c; do start_node "$node"; done
wait_for 60 settled || die 'the group did not settle'
# produce: until the upgrades are done, in small steps, so that a gap is not that of the producers
produce() {
    local p pids=()
    for ((p = 0; p < partitions; p++)); do
        "$support/numbered" --over "$seconds" --steps 50 --until "$work/upgraded" "$p" 0 "$records" | kcat -P -q -b "$brokers" -t logs -p "$p" -X acks=all -X linger.ms=5 \
            -X enable.idempotence=true &
        pids+=($!)
    done
    for p in "${pids[@]}"; do wait "$p" || return 1; done
}
produce &
producer=$!
for node in a b c; do wait_for 10 counts "$node" || die "no assignment of node $node is counted"; done
before_a=$(counted a kafka_rebalances_total)
before_c=$(counted c kafka_rebalances_total)
: >"$work/gaps"
idle=0
for ((i = 1; i <= upgrades; i++)); do
    flowed=0
    for look in once again; do wait_for 60 flows b || die "upgrade $i: no records come ($look)"; done
    old=$(holder b)
    upgraded b || die "upgrade $i: $(cat "$work/report" "$work/upgrade.err"; tail -n 5 "$work/b.log")"
    new=$(holder b)
    [ "$new" = "$(report pid)" ] || die "upgrade $i: $new holds the folder, not $(report pid)"
    [ "$new" != "$old" ] || die "upgrade $i: the same process holds the folder"
    if [ -z "$(report gap_ms)" ]; then # no record came while it went on: nothing was measured
        i=$((i - 1)) idle=$((idle + 1))
        [ "$idle" -le "$upgrades" ] || die 'no record comes while an upgrade goes on'
        continue
    fi
    echo "$(report gap_ms) $(report drain_ms) $(report handover_ms) $(report close_ms)" >>"$work/gaps"
done
# a new binary that fails its warm-up, and one that dies once everything was handed over, leave the old one at work
old=$(holder b)
if upgraded b --binary /bin/false; then die '/bin/false has taken over'; fi
[ "$(holder b)" = "$old" ] || die 'the old process does not hold its folder any more'
cat >"$work/mayfly" <<SH
#!/usr/bin/env bash
# dies as soon as it has the folder: its pid is in the lock then
"$sluice" "\$@" &
until [ "\$(cat '$work/b/lock')" = \$! ]; do kill -0 \$! || exit 1; done
kill -KILL \$!
SH
chmod +x "$work/mayfly"
if upgraded b --binary "$work/mayfly"; then die 'a process that dies has taken over'; fi
[ "$(holder b)" = "$old" ] || die 'the old process did not take its folder back'
: >"$work/upgraded"
wait $producer || die 'the producer failed'

node_pid[b]=$(holder b)
drained $((partitions * records)) "$(count 60 600)" || die "not drained: $(tail -n 3 "$work"/*.log)"
[ "$(counted a kafka_rebalances_total)" = "$before_a" ] || die 'node a saw a rebalance'
[ "$(counted c kafka_rebalances_total)" = "$before_c" ] || die 'node c saw a rebalance'
end_node a TERM
end_node c TERM
kill -TERM "${node_pid[b]}"
ended() { ! kill -0 "${node_pid[b]}" 2>/dev/null; }
wait_for 60 ended || die 'node b does not end'
"$support/landing_check" --partitions "$partitions" --records "$records" "$work"/{a,b,c}/landing
no_temporaries "$work"/{a,b,c}/landing
echo "gaps in ms (all; of that to finish and commit; to hand over; of that to close):"
cat "$work/gaps"
python3 - "$work/gaps" <<'PY'
import statistics, sys
rows = [[float(x) for x in line.split()] for line in open(sys.argv[1])]
for name, at in (("gap", 0), ("drain", 1), ("handover", 2)):
    values = [row[at] for row in rows]
    print(f"{name}: median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms over {len(values)} upgrades")
PY
finish
