#!/usr/bin/env bash
# audit_kafka.sh: `sluice audit` over real Kafka: good after kill -9 and while the server runs, transactions and their markers, what
# retention has removed, and a broken landing zone named.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 8000 100000) # in each of 4 partitions
kills=$(count 3 10)
start_kafka 1
make_topic logs 4
fill logs 4 0 $((records / 2))
echo 'no json' | kcat -P -q -b "$brokers" -t logs -p 2
topology "$work/t.yaml" 300ms '  part: { type: files, inputs: [parsed], where: { level: [warn, error] }, dir: part, compression: none }'

audit() { "$sluice" audit "$work/t.yaml" --data-dir "$work/data" >"$work/said" 2>&1; }
good() {
    audit || { cat "$work/said" >&2; die "$1: a difference where there is none"; }
    grep -q '^audit: good$' "$work/said" || { cat "$work/said" >&2; die "$1: not proved good"; }
}

for ((i = 1; i <= kills; i++)); do
    KILL_MS=4000 kill_while 1 "$sluice" run "$work/t.yaml" --quiet --data-dir "$work/data"
    if grep -rqs . "$work"/data/landing/.sluice/manifest; then good "after kill $i"; fi
done
fill logs 4 $((records / 2)) $((records - records / 2))
"$sluice" run "$work/t.yaml" --quiet --data-dir "$work/data" 2>>"$work/log" &
pid=$!
wait_for 60 grep -rqs . "$work/data/landing/.sluice/manifest" || die 'nothing was landed'
good 'while the server runs'
kill -TERM $pid
wait $pid || die 'the server ended with an error'
"$sluice" run "$work/t.yaml" --once --quiet --data-dir "$work/data" 2>>"$work/log"
good 'at the end'
[ "$(grep -c '^  logs [0-3] *\[0, ' "$work/said")" -ge 8 ] || { cat "$work/said" >&2; die 'not all partitions were audited from 0'; }

file=$(find "$work/data/part" -name '*.ndjson' | sort | head -n 1)
cp "$file" "$work/kept"
sed -i 7d "$file"
if audit; then die 'a removed line was not found'; fi
grep -qE 'lost: sink part, logs [0-3], offset [0-9]+: not in the files' "$work/said" || { cat "$work/said" >&2; die 'the lost record is not named'; }
cp "$work/kept" "$file"
good 'put back'

cat >"$work/delete.json" <<JSON
{"partitions":[{"topic":"logs","partition":1,"offset":100}],"version":1}
JSON
kafka tool DeleteRecordsCommand --offset-json-file "$work/delete.json" >/dev/null || die 'records were not deleted'
audit || { cat "$work/said" >&2; die 'what retention has removed is no difference'; }
grep -q 'as far as it can be proved' "$work/said" || { cat "$work/said" >&2; die 'what retention has removed is not reported'; }
finish
