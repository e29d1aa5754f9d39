#!/usr/bin/env bash
# sick_swap.sh: promote and rollback while a sink hangs, refuses, or its disk is full, in the old or in the new generation: they return at once,
# and once it works again each record reaches its destination; what may be there twice, at a sink without ids, status counts.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 3000 30000) # between two swaps
cd "$work"
client() { "$sluice" "$1" --data-dir "$case/state" "${@:2}"; }
ask() { # PYTHON over the topology's status, as t
    client status --json 2>/dev/null | python3 -c "import json,sys; t=json.load(sys.stdin)['topologies'][0]; print($1)" 2>/dev/null
}
# quick COMMAND...: it takes less than 2 s by its own account; by the wall, on a machine that others work on, it is only told
longest=0
quick() {
    local began=${EPOCHREALTIME/./} own
    client "$@" >said 2>&1 || { cat said >&2 && die "$case: $* fails"; }
    own=$(grep -Eo 'swapped in [0-9.e+]+ ms' said | awk '{ printf "%d", $3 }')
    [ "${own:-2000}" -lt 2000 ] || die "$case: $* took $own ms in the server: $(cat said)"
    began=$(((${EPOCHREALTIME/./} - began) / 1000))
    [ $began -lt 30000 ] || die "$case: $* took $began ms by the wall"
    [ $began -le "$longest" ] || longest=$began
}
feed() { "$support/numbered" 0 "$fed" "$records" >>"$case/in.ndjson" && fed=$((fed + records)); }
launch() { # VERSION
    "$sluice" run "$1" --quiet --data-dir "$case/state" 2>>"$case/run.log" &
    server=$!
    wait_for 60 ask 't["records"]' >/dev/null || { tail -n 5 "$case/run.log" >&2 && die "$case: no server"; }
}
is_committed() { [ "$(ask 'sum(s["committed"] for s in t["sources"])')" = "$(wc -c <"$case/in.ndjson")" ]; }
end() {
    wait_for 60 is_committed || die "$case: not everything is committed: $(ask '(t["waits_for"] if "waits_for" in t else "", t["sources"])') $(tail -n 3 "$case/run.log")"
    twice=$(ask 't["maybe_duplicated"]')
    kill -TERM $server
    wait $server || { tail -n 5 "$case/run.log" >&2 && die "$case: the process does not end well"; }
}

# ---- sinks that are asked over HTTP ----
version() { # NUMBER PORT
    local kind="type: http, url: \"http://127.0.0.1:$2/take\""
    [ $bulk = no ] || kind="type: opensearch, url: \"http://127.0.0.1:$2\", index: logs"
    cat >"$case/v$1.yaml" <<YAML
name: sick
commit: { every: 100ms }
sources: { logs: { type: file, paths: ["$work/$case/in.ndjson"] } }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
  stamped: { type: set, inputs: [parsed], fields: { version: $1 } }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, roll: { bytes: 8MiB, every: 300ms } }
  out: { $kind, inputs: [stamped], timeout: 60s, connect_timeout: 1s, batch: { records: 500, every: 50ms }, retry: { backoff_min: 50ms, backoff_max: 500ms } }
YAML
}
backend() { # NAME [--well] [--port N]: its process in $backend
    rm -f "$case/$1.port"
    local more=()
    [ $bulk = no ] || more=(--bulk)
    "$support/mute_server" "$case/$1.port" "$case/$1.out" "${more[@]}" "${@:2}" 2>>"$case/$1.log" &
    backend=$!
    wait_for 30 test -s "$case/$1.port" || die "$case: the back-end did not start"
}
arrived() { cat "$case"/*.out | wc -l; }
arrives() { [ "$(arrived)" -gt "$1" ]; }
# Something is on its way to the sick one, and it does not answer: the well one's account stands still.
is_asked() { # as the back-end's own connections show
    [ "$how" = refuses ] && return 0
    ss -Htn state established "( sport = :$(cat "$case/sick.port") )" | grep -q .
}
account() {
    cat "$case"/*.out >all.out
    python3 - all.out "$fed" "$twice" $bulk <<'PY' || die "$case: what the back-ends took"
import collections, re, sys
took, by_id = collections.Counter(), collections.defaultdict(set)
for line in open(sys.argv[1]):
    n = int(re.search(r'"n":(\d+)', line)[1])
    took[n] += 1
    by_id[n].add(line.split(" ", 1)[0])
fed, maybe, bulk = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "yes"
missing, more = fed - len(took), sum(took.values()) - len(took)
print(f"  {fed} records: {missing} missing, {more} came twice, maybe_duplicated {maybe}")
if missing or maybe > 3 * fed or (not bulk and more > maybe) or (bulk and (maybe or any(len(ids) != 1 for ids in by_id.values()))):
    sys.exit(1)
PY
    "$support/landing_check" --partitions 1 --records "$fed" "$case/state/landing" >landed || { cat landed >&2 && die "$case: the landing zone"; }
}

sick() { # hangs|refuses old|new
    how=$1 case=$1-$2-$bulk fed=0
    local well sick
    mkdir "$case"
    feed
    backend well --well
    well=$backend
    backend sick
    sick=$backend
    if [ "$how" = refuses ]; then
        kill $sick
        wait $sick 2>/dev/null || true
    fi
    version 1 "$(cat "$case/$([ "$2" = old ] && echo sick || echo well).port")"
    version 2 "$(cat "$case/$([ "$2" = old ] && echo well || echo sick).port")"
    launch "$case/v1.yaml"
    if [ "$2" = old ]; then
        wait_for 30 is_asked || die "$case: the sick one is not asked"
        quick deploy "$case/v2.yaml" --plan now
        wait_for 60 arrives 0 || die "$case: nothing arrives after the sick version is gone: $(tail -n 3 "$case/run.log")"
        feed
        quick rollback
        feed
        client deploy "$case/v2.yaml" >said 2>&1 || { cat said >&2 && die "$case: deploy fails"; }
        quick promote
    else
        wait_for 60 arrives 0 || die "$case: nothing arrives"
        quick deploy "$case/v2.yaml" --plan now
        feed
        wait_for 30 is_asked || die "$case: the sick one is not asked"
        quick rollback
        wait_for 60 arrives "$((fed / 2))" || die "$case: nothing arrives after the sick version is gone: $(tail -n 3 "$case/run.log")"
        client deploy "$case/v2.yaml" >said 2>&1 || { cat said >&2 && die "$case: deploy fails"; }
        quick promote
        feed
        wait_for 30 is_asked || die "$case: the sick one is not asked"
        if [ "$how" = hangs ]; then
            # What it was asked while it was mute is never answered, not even now: only the next version, or a time-out, helps.
            kill -USR1 $sick
            quick rollback
        else
            backend sick --well --port "$(cat "$case/sick.port")"
            sick=$backend
        fi
    fi
    feed
    end
    [ "$how" != hangs ] || [ $bulk = yes ] || [ "$twice" -gt 0 ] || die "$case: a sink without ids did not answer, and nothing is counted"
    echo "$how, in the $2 generation$([ $bulk = no ] || echo ', a sink with ids')"
    account
    kill $well $sick 2>/dev/null || true
}
for bulk in no yes; do
    for generation in old new; do
        sick hangs $generation
        # with ids it is the same way but for the count: the budget's form has one of the two
        if [ $bulk = no ] || [ "$(count no yes)" = yes ]; then sick refuses $generation; fi
    done
done

# ---- a full disk ----
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
    echo "promote and rollback: $longest ms by the wall at the most"
    echo 'a full disk: NOT TRIED, it needs a mount and so root'
    finish
    exit
fi
landing() { # NUMBER DIR
    cat >"$case/v$1.yaml" <<YAML
name: sick
commit: { every: 100ms }
sources: { logs: { type: file, paths: ["$work/$case/in.ndjson"] } }
operators: { parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } } }
sinks: { landing: { type: files, inputs: [parsed], dir: $2, compression: none, roll: { bytes: 8MiB, every: 200ms } } }
YAML
}
full_times() { grep -ci 'no space left' "$case/run.log" || true; }
fills() { [ "$(full_times)" -gt "$before" ]; }
full() { # old|new
    case=full-$1 fed=0
    mkdir -p "$case/state/small"
    mount -t tmpfs -o size=600k tmpfs "$case/state/small"
    feed
    landing 1 "$([ "$1" = old ] && echo small || echo large)"
    landing 2 "$([ "$1" = old ] && echo large || echo small)"
    before=0
    launch "$case/v1.yaml"
    if [ "$1" = old ]; then
        wait_for 30 fills || die "$case: the disk is not full: $(tail -n 3 "$case/run.log")"
        quick deploy "$case/v2.yaml" --plan now
        feed
        wait_for 60 is_committed || die "$case: what did not fit does not land in the new folder: $(tail -n 3 "$case/run.log")"
        before=$(full_times)
        quick rollback
        feed
        wait_for 30 fills || die "$case: the disk is not full: $(tail -n 3 "$case/run.log")"
    else
        wait_for 60 is_committed || die "$case: nothing lands"
        quick deploy "$case/v2.yaml" --plan now
        feed
        wait_for 30 fills || die "$case: the disk is not full: $(tail -n 3 "$case/run.log")"
        quick rollback
        feed
        wait_for 60 is_committed || die "$case: what did not fit does not land in the old folder: $(tail -n 3 "$case/run.log")"
        client deploy "$case/v2.yaml" >said 2>&1 || { cat said >&2 && die "$case: deploy fails"; }
        quick promote
        feed
    fi
    mount -o remount,size=600m "$case/state/small"
    feed
    end
    echo "a full disk, in the $1 generation"
    "$support/landing_check" --partitions 1 --records "$fed" "$case/state/small" "$case/state/large" || die "$case: the landing zone, over both folders"
    [ "$twice" = 0 ] || die "$case: $twice records are said to be there twice"
    umount -l "$case/state/small"
}
trap 'umount -l "$work"/full-*/state/small 2>/dev/null || true; leave' EXIT
full old
full new
echo "promote and rollback: $longest ms by the wall at the most"
finish
