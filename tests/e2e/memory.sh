#!/usr/bin/env bash
# memory.sh: peak RSS <= memory: + 96 MiB with memory: 256MiB, (1) with many records waiting in Kafka and a sink held to 20,000 a
# second, (2) with 10,000 landing paths at once, whose compression ratio is told.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

hundreds=$(count 10 200) # of 100,000 records
seconds=$(count 15 120)
limit_kb=$(((256 + 96) * 1024))
start_kafka 1

# peak PID: its highest RSS in kB, when it has ended
peak() {
    local kb=0 now
    while now=$(awk '/^VmHWM/ { print $2 }' "/proc/$1/status" 2>/dev/null) && [ -n "$now" ]; do
        kb=$now
        pause_ms 100
    done
    echo "$kb"
}
# run_within WHAT COMMAND...: runs it, and looks at its peak
run_within() {
    local what=$1 kb status=0
    shift
    "$@" >"$work/log" 2>&1 &
    kb=$(peak $!)
    wait $! || status=$?
    [ $status = 0 ] || die "$what ended with $status: $(tail -n 5 "$work/log")"
    echo "$what: peak RSS $((kb / 1024)) MiB, $((limit_kb / 1024)) MiB allowed"
    [ "$kb" -gt 0 ] || die "$what: nothing was measured"
    [ "$kb" -le $limit_kb ] || die "$what: $kb kB, more than memory: and 96 MiB"
}

make_topic logs 8
"$support/numbered" 0 0 100000 >"$work/lines"
for ((i = 0; i < hundreds; i++)); do cat "$work/lines"; done |
    kcat -P -q -b "$brokers" -t logs -X compression.codec=zstd -X linger.ms=50 -X batch.size=1000000 || die 'producing'
cat >"$work/slow.yaml" <<YAML
name: slow
consumers: 2
sources:
  logs: { type: kafka, brokers: ["$brokers"], topics: [logs], group: slow }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  held: { type: blackhole, inputs: [parsed], rate: 10000/s } # in each of two slots
YAML
run_within "$((hundreds / 10)) M records waiting" "$sluice" run "$work/slow.yaml" --for "${seconds}s" --memory 256MiB --data-dir "$work/slow"
tail -n 6 "$work/log"

# Each of 10,000 tenants has a folder; neighbours in the input are of different ones.
awk '{ sub(/"service":"/, "\"tenant\":\"t" (NR * 7919) % 10000 "\",&"); print }' "$work/lines" >"$work/part"
for ((i = 0; i < hundreds; i++)); do cat "$work/part"; done >"$work/tenants.ndjson"
cat >"$work/paths.yaml" <<YAML
name: paths
consumers: 1
sources:
  logs: { type: file, paths: ["$work/tenants.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "tenant={tenant}", max_paths: 20000, roll: { bytes: 4GiB, every: 10m } }
YAML
run_within '10,000 landing paths' "$sluice" run "$work/paths.yaml" --once --memory 256MiB --data-dir "$work/paths"
tail -n 6 "$work/log"
files=$(find "$work/paths/landing" -name '*.zst' -not -path '*/.sluice/*' -printf '%s\n' | awk '{ n++; sum += $1 } END { print n, sum }')
read -r number bytes <<<"$files"
[ "$number" -ge 10000 ] || die "$number files of 10,000 paths"
echo "10,000 landing paths: $(stat -c %s "$work/tenants.ndjson") bytes in $number files of $bytes bytes together, ratio $(awk -v a="$(stat -c %s "$work/tenants.ndjson")" -v b="$bytes" 'BEGIN { printf "%.2f", a / b }')"
finish
