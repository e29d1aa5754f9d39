#!/usr/bin/env bash
# swaps.sh: version after version of a topology goes live at full speed, from the spool into landing zones: operators, settings, folders, names
# of sinks, sources change, by the real commands. Each record lands once, the audit agrees, and the process does not grow.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

swaps=$(count 60 2000)
cd "$work"
# What is fed goes through the spool: numbered records by standard input, which landing_check counts, and made ones, which the audit does.
cat >feed.yaml <<'YAML'
name: feed
sources: { in: { type: stdin }, made: { type: generate, rate: 5000/s, partitions: 4 } }
sinks: { none: { type: blackhole, inputs: [in, made] } }
YAML
swapper() {
    "$support/swapper" --sluice "$sluice" --data-dir state --source '{ type: spool, topic: feed.in }' \
        --source '{ type: spool, topic: feed.in, start: latest }' --other '{ type: spool, topic: feed.made, start: latest }' "$@"
}
# numbers: numbered records for as long as the test goes on, then how many there were
numbers() {
    local made=0
    while [ ! -e stop ]; do
        "$support/numbered" 0 $made 20000
        made=$((made + 20000))
    done
    echo $made >fed
}
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
ask() { # PYTHON over the status of the topology `busy`, as t
    client status --json | python3 -c "import json,sys; t=[t for t in json.load(sys.stdin)['topologies'] if t['name'] == 'busy'][0]; print($1)"
}
read_some() { [ "$(ask 't["records"]' 2>/dev/null || echo 0)" -gt "$1" ]; }

first=$(swapper --first)
mkfifo pipe
numbers >pipe &
"$sluice" run feed.yaml "$first" --quiet --data-dir state <pipe 2>run.log &
server=$!
wait_for 60 read_some 0 || { tail -n 5 run.log >&2 && die 'no records'; }
swapper --pid $server --swaps "$swaps" --seed $RANDOM || { tail -n 5 run.log >&2 && die 'a swap failed'; }
records=$(ask 't["records"]')
wait_for 60 read_some "$records" || die 'it does not read on after the last swap'
[ "$(ask 't["live"]["generation"]')" -gt 1 ] || die 'the first version is live'
touch stop
wait_for 60 test -e fed || die 'the feeder does not end'
all_read() { [ "$(ask 'sum(s["committed"] for s in t["sources"] if s["source"] == "in")')" = "$(cat fed)" ]; }
wait_for 120 all_read || die "not everything is read: $(ask 't["sources"]')"
kill -TERM $server
wait $server || { tail -n 5 run.log >&2 && die 'the process does not end well'; }
! grep -i 'assert\|sanitizer' run.log || die 'see run.log'
last=$(find . -maxdepth 1 -name 'v*.yaml' -printf '%f\n' | sort -V | tail -n 1)
echo "$(cat fed) records during $swaps swaps, the last version is $last"
mapfile -t landings < <(awk '$1 == "landing" && !seen[$2]++ { print "state/" $2 }' dirs)
"$support/landing_check" --partitions 1 --records "$(cat fed)" "${landings[@]}" || die 'the landing zone, over all its folders'
"$support/landing_check" --partitions 1 --records "$(cat fed)" state/copy || die 'the copy, under all its names'
sed '/copy_/d' "$last" >audited.yaml # the copy's files stand under other names of the sink; landing_check has counted them
"$sluice" audit audited.yaml --data-dir state "${landings[@]}" >audit.out 2>&1 || { tail -n 20 audit.out >&2 && die 'the audit finds a difference'; }
# Content is proved by the file of the version that made a flush; that files and ranges are whole, without gap or overlap, by any.
grep -Eq "in feed.in 0 +\[0, $(cat fed)\) +$(cat fed) " audit.out || { cat audit.out >&2 && die 'the audit does not have each record once'; }
tail -n 1 audit.out
finish
