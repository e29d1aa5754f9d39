#!/usr/bin/env bash
# deploy_kills.sh: kill -9 at random moments of deploys, promotes, changes of shares and rollbacks, among them while the files of a sink that was
# just changed become durable, and between their commit and their names. After each start one generation is live: that of the last answer, or
# the one that was just asked for; and over all versions and folders each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

kills=$(count 6 20)
cd "$work"
fail_io
touch in-0.ndjson in-1.ndjson
# Numbered records for as long as the test goes on, then how many there were of each of the two partitions.
feed() {
    local made=0 p
    while [ ! -e stop ]; do
        for p in 0 1; do "$support/numbered" $p $made 2000 >>in-$p.ndjson; done
        made=$((made + 2000))
        pause_ms 50 # a rate
    done
    echo $made >fed
}
swapper() {
    "$support/swapper" --sluice "$sluice" --data-dir state --source "{ type: file, paths: [\"$work/in-*.ndjson\"] }" \
        --source "{ type: file, paths: [\"$work/in-*.ndjson\"], exclude: [\"none\"] }" "$@"
}
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
ask() { # PYTHON over the topology's status, as t
    client status --json 2>/dev/null | python3 -c "import json,sys; t=json.load(sys.stdin)['topologies'][0]; print($1)" 2>/dev/null
}
reads() { [ "$(ask 't["records"]' || echo 0)" -gt "${1:-0}" ]; }
launch() { # [VARIABLE=VALUE...]
    rm -f killed
    env "$@" "$sluice" run v1.yaml --quiet --data-dir state 2>>run.log &
    server=$!
    wait_for 60 reads || { tail -n 5 run.log >&2 && die 'no records after a start'; }
}
live_version() { # the number that the live generation's own file has in it
    grep -oh 'none-[0-9]*' state/generations/busy/"$(ask 't["live"]["generation"]')"/*.yaml | head -n 1 | cut -d- -f2
}
is_right() { # what the journal promises
    local row words version rows
    rows=$(client history --json | python3 -c 'import json,sys; print([r["generation"] for r in json.load(sys.stdin)["generations"] if r["state"] == "live"])')
    [ "$rows" = "[$(ask 't["live"]["generation"]')]" ] || die "live by history: $rows, by status $(ask 't["live"]["generation"]')"
    [ "$(ask '"candidate" in t')" = False ] || die 'a candidate is there after a start'
    version=$(live_version)
    row=$(tail -n 1 journal)
    read -ra words <<<"$row"
    case ${words[0]} in
        live) [ "$version" = "${words[1]}" ] || die "version $version is live, and $row was answered" ;;
        asked) [ "$version" = "${words[1]}" ] || [ "$version" = "${words[2]}" ] || die "version $version is live; $row" ;;
    esac
    echo "live $version" >>journal
    resume=$version
}
lands() { # VERSION: a record of it, in a file of the copy that is newer than the mark
    [ "$(find state/copy -maxdepth 1 -name '*.zst' -newer mark -exec zstd -dcq {} + | grep -c "\"version\":$1}")" != 0 ]
}
stopped() { [ -e stopped ]; }
# The process is stopped at an operation behind the first swap of its round, and killed there.
plan=(LD_PRELOAD="$work/fail_io.so" FAIL_IO_DONE="$work/stopped" FAIL_IO_AFTER="$work/swapping")

swapper --first >first
echo 'live 1' >journal
resume=1
feed &
for ((i = 1; i <= kills; i++)); do
    rm -f stopped swapping
    case $((i % 3)) in
        0) how='at random' kinds=operators,settings,directory,rename,extra,source,rollback,promote,shares,shares && launch ;;
        1) how='at a fsync' kinds=settings,directory && launch "${plan[@]}" FAIL_IO="fsync:$(moment 1 12):stop:.sluice/tmp" ;;
        2) how='at a rename' kinds=settings,rollback,directory && launch "${plan[@]}" FAIL_IO="rename:$(moment 1 12):stop:.sluice/tmp" ;;
    esac
    is_right
    touch mark
    wait_for 30 lands "$resume" || die "no record of version $resume lands"
    before=$(wc -l <journal)
    touch swapping
    swapper --swaps 100000 --seed $RANDOM --every "$(moment 0 60)" --kinds "$kinds" --journal journal --resume "$resume" --killed killed >swapper.out 2>&1 &
    swaps=$!
    if [ "$how" = 'at random' ]; then
        pause_ms "$(moment 100 2500)"
    else
        wait_for 60 stopped || die "kill $i: no moment $how to stop at"
    fi
    touch killed
    kill -KILL "$server" || die "kill $i: the process ended by itself: $(tail -n 3 run.log)"
    wait "$server" 2>/dev/null || true
    wait $swaps || { cat swapper.out >&2 && die "kill $i: a swap failed before it"; }
    echo "kill $i $how, after $(tail -n +$((before + 1)) journal | grep -c live) swaps; last: $(tail -n 1 journal)"
done
launch
is_right
touch stop
wait_for 30 test -e fed || die 'the feeder does not end'
all_read() { [ "$(ask 'sum(s["committed"] for s in t["sources"])')" = "$(cat in-*.ndjson | wc -c)" ]; }
wait_for 60 all_read || die "not everything is committed: $(ask 't["sources"]') $(tail -n 3 run.log)"
kill -TERM $server
wait $server || { tail -n 5 run.log >&2 && die 'the process does not end well'; }
mapfile -t landings < <(awk '$1 == "landing" && !seen[$2]++ { print "state/" $2 }' dirs)
"$support/landing_check" --partitions 2 --records "$(cat fed)" "${landings[@]}" || die 'the landing zone, over all its folders'
"$support/landing_check" --partitions 2 --records "$(cat fed)" state/copy || die 'the copy, under all its names'
finish
