#!/usr/bin/env bash
# offsets.sh: what may happen to offsets while nobody looks: set back by hand, a topic deleted and made again (smaller, larger),
# retention beyond the mark, aborted transactions and compaction. Nothing is written twice, nothing skipped without a word.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 5000 250000) # in each of 2 partitions
start_kafka "$(count 1 3)"
tool() { kafka tool "$@" >>"$work/tools.log" 2>&1 || die "$1: $(tail -n 3 "$work/tools.log")"; }

# use NAME [SOURCE-SETTINGS]: a topology, group, topic and node of that name; once NAME: reads it to its end
use() {
    topic=$1 group=$1 topology_name=$1 consumers=1 source_more=${2:-} nodes "$1"
}
once() { "$sluice" run --once --config "$work/$1/sluice.yaml" "$work/$1/t.yaml" --data-dir "$work/$1" >>"$work/$1.log" 2>&1; }
last_run() { tail -n "${2:-12}" "$work/$1.log"; }
check() { "$support/landing_check" --partitions 2 --records "$2" "${@:3}" "$work/$1/landing" || die "$1"; }
files() { find "$work/$1/landing" -name '*.zst' -not -path '*/.sluice/*' | sort | xargs -r sha256sum | sha256sum; }

echo 'an offset set back by hand: the landing zone keeps its marks (rule C5)'
use hand
make_topic hand 2
fill hand 2 0 "$records"
once hand || die "hand: $(last_run hand)"
# Static members leave when their session has ended; until then the tool refuses, with 0.
was_reset() {
    kafka tool consumer.group.ConsumerGroupCommand --group hand --reset-offsets --to-earliest --topic hand --execute >"$work/reset" 2>&1
    grep -qE '^hand +hand +1 +0' "$work/reset"
}
wait_for 60 was_reset || die "the reset was refused: $(cat "$work/reset")"
once hand || die "hand, after the reset: $(last_run hand)"
last_run hand | grep -q 'was set by hand' || die "hand: the log does not tell of the reset: $(last_run hand)"
fill hand 2 "$records" 100
once hand || die "hand, after more: $(last_run hand)"
check hand $((records + 100))

not_ready() {
    [ "$(curl -s -o "$work/ready" -w '%{http_code}' --unix-socket "$work/$1/control.sock" http://sluice/readyz)" = 503 ]
}
# held NAME PATTERN: the process runs, says why, is not ready, and writes nothing
held() {
    local before
    before=$(files "$1")
    start_node "$1"
    wait_for 30 said "$1" "$2" || die "$1 is not held: $(last_run "$1")"
    wait_for 10 not_ready "$1" || die "$1: readyz does not say 503 though a partition is held: $(cat "$work/ready")"
    grep -qE "$2" "$work/ready" || die "$1: readyz does not say why: $(cat "$work/ready")"
    "$sluice" status --socket "$work/$1/control.sock" >"$work/status" || die "$1: no status"
    grep -qE "$2" "$work/status" || die "$1: status does not say why: $(cat "$work/status")"
    end_held "$1"
    [ "$(files "$1")" = "$before" ] || die "$1: something was written though all is held"
}
end_held() {
    kill -TERM "${node_pid[$1]}"
    wait "${node_pid[$1]}" 2>/dev/null || true # a held partition is told by the exit code as well
    unset "node_pid[$1]"
}
# accepted NAME: both partitions are resumed while it runs, read from their beginning, and go on after another start.
accepted() {
    local left=$((records / 2)) first=0 p
    [ "$1" = smaller ] || { left=$((records + 100)) first=7; }
    mv "$work/$1/landing" "$work/$1/landing.old" # each incarnation is checked by itself
    mkdir -p "$work/$1/landing/.sluice"
    cp "$work/$1/landing.old/.sluice/zone" "$work/$1/landing/.sluice/"
    start_node "$1"
    resumed() { "$sluice" resume "$1" --source-changed "$1:$2" --socket "$work/$1/control.sock" >"$work/resumed" 2>&1; }
    for p in 0 1; do wait_for 30 resumed "$1" $p || die "$1: not resumed: $(cat "$work/resumed")"; done
    ! resumed "$1" 0 || die "$1: resumed twice"
    grep -q 'is not held' "$work/resumed" || die "$1: $(cat "$work/resumed")"
    wait_for 60 is_drained $((2 * left)) || die "$1: not drained after resume: $(last_run "$1")"
    end_node "$1" TERM
    once "$1" || die "$1: the start after a resume: $(last_run "$1")"
    "$support/landing_check" --partitions 2 --first $first --records "$left" "$work/$1/landing" || die "$1: after resume"
}
for size in smaller larger; do
    echo "a topic deleted and made again, $size than the mark: held as source changed (rule A1)"
    use "$size"
    make_topic "$size" 2
    fill "$size" 2 0 "$records"
    once "$size" || die "$size: $(last_run "$size")"
    tool TopicCommand --delete --topic "$size"
    wait_for 30 try_topic "$size" 2 || die "$size was not made again"
    if [ $size = smaller ]; then fill "$size" 2 0 $((records / 2)); else fill "$size" 2 7 $((records + 100)); fi
    held "$size" 'source changed'
    check "$size" "$records"
    echo 'a person says that it is meant: it begins anew, beside what the old one left'
    accepted "$size"
done

echo 'retention that passed the mark while down: on_gap: stop holds, on_gap: record goes on'
printf '{"partitions":[{"topic":"gap","partition":0,"offset":%d},{"topic":"gap","partition":1,"offset":%d}],"version":1}' \
    $((records + 50)) $((records + 50)) >"$work/delete.json"
use gap
make_topic gap 2
fill gap 2 0 "$records"
once gap || die "gap: $(last_run gap)"
fill gap 2 "$records" 100
tool DeleteRecordsCommand --offset-json-file "$work/delete.json"
held gap 'retention has removed'
check gap "$records"
sed -i 's/session_timeout: 6s/session_timeout: 6s, on_gap: record/' "$work/gap/t.yaml"
once gap || die "gap, on_gap: record: $(last_run gap)"
last_run gap | grep -q 'gaps: 100 offsets' || die "gap: 2 x 50 offsets are not told: $(last_run gap)"
"$support/landing_check" --partitions 2 --records $((records + 100)) "$work/gap/landing" >"$work/missing" && die 'gap: what was removed is there'
grep -q '^missing: partition 0: first '"$records"', 50 in all' "$work/missing" || die "gap: $(cat "$work/missing")"
grep -q ' 100 missing, 0 doubled, 0 out of order, 0 strange' "$work/missing" || die "gap: $(cat "$work/missing")"

echo 'aborted transactions, and a compacted topic: holes are legal (rule A2)'
use holes
make_topic holes 2
# shellcheck disable=SC2046
"${CC:-cc}" -O1 -o "$work/make_holes" "$support/make_holes.c" $(pkg-config --cflags --libs rdkafka) || skip 'no compiler, or no librdkafka-dev'
for p in 0 1; do "$work/make_holes" "$brokers" holes $p $p "$records" $((records / 20)) 2>>"$work/tools.log" || die 'transactions'; done
once holes || die "holes: $(last_run holes)"
check holes "$records"
use compact
make_topic compact 1 cleanup.policy=compact min.cleanable.dirty.ratio=0.01 segment.ms=100 max.compaction.lag.ms=200
# Twenty keys, written over and over; the last segment is never compacted, so that another write has to close the one before.
keyed() { "$support/numbered" 0 "$1" 1000 | awk '{ print NR % 20 "\t" $0 }' | kcat -P -q -b "$brokers" -t compact -p 0 -K '\t' -X acks=all; }
left() { kcat -C -q -e -b "$brokers" -t compact -p 0 -o beginning -f '%o\n'; }
compacted() { keyed "$((written += 1000))"; [ "$(left | wc -l)" -lt $((written / 2)) ]; }
written=0
wait_for 90 compacted || die 'the topic was not compacted'
once compact || die "compact: $(last_run compact)"
left >"$work/left"
landed=$(find "$work/compact/landing" -name '*.zst' -not -path '*/.sluice/*' -exec zstdcat {} + | wc -l)
# What is compacted between the two looks was read before.
[ "$landed" -ge "$(wc -l <"$work/left")" ] || die "compact: $landed records landed, the topic holds $(wc -l <"$work/left")"
last_run compact | grep -q 'ledger balanced' || die "compact: $(last_run compact)"
finish
