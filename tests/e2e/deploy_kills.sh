#!/usr/bin/env bash
# deploy_kills.sh: kill -9 at random moments of deploys, shares, promotes and rollbacks, changed files sinks among them: the next start has
# the generation that was told last, or the one that was being asked for; each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

kills=$(count 10 40)
cd "$work"
version() { # NUMBER: another operator each, and another setting of one of the two sinks
    cat <<YAML
name: orders
commit: { every: 100ms }
sources: { logs: { type: file, paths: ["$work/in-*.ndjson"] } }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
  stamped: { type: set, inputs: [parsed], fields: { version: $1 } }
sinks:
  landing: { type: files, inputs: [stamped], dir: landing, roll: { bytes: $1MiB, every: 200ms } }
  plain: { type: files, inputs: [parsed], dir: plain, compression: none, roll: { bytes: 8MiB, every: 300ms } }
YAML
}
for v in 1 2 3; do version $v >v$v.yaml; done
cat >feed.py <<'PY'
import os, subprocess, sys, time
numbered, count = sys.argv[1], 0
while not os.path.exists("stop"):
    for p in (0, 1):
        with open(f"in-{p}.ndjson", "ab") as out:
            subprocess.run([numbered, str(p), str(count), "1000"], stdout=out, check=True)
    count += 1000
    time.sleep(0.1) # poll
open("fed.tmp", "w").write(str(count))
os.rename("fed.tmp", "fed")
PY
python3 feed.py "$support/numbered" &
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
# The number of the generation that is in this state, or 0.
generation_in() {
    client history --json | python3 -c "import json,sys; g=json.load(sys.stdin)['generations']; print(([r['generation'] for r in g if r['state']=='$1']+[0])[0])"
}
answers() { client status >/dev/null 2>&1; }
start() {
    "$sluice" run v1.yaml --quiet --data-dir state >>run.log 2>&1 &
    server=$!
    wait_for 30 answers || { tail -n 3 run.log >&2 && die 'no server'; }
}

told=1 asked=1 fatal=0 killer=
# step NUMBER COMMAND...: asks for a step after which NUMBER is live; 1: the server is gone. The fatal one is cut short.
step() {
    asked=$1
    shift
    fatal=$((fatal - 1))
    if [ $fatal = 0 ]; then
        ms=$(moment 0 "${KILL_MS:-80}")
        (pause_ms "$ms" && kill -KILL $server) &
        killer=$!
        during=$1
    fi
    if client "$@" >step.out 2>&1; then
        told=$asked
        return 0
    fi
    kill -0 $server 2>/dev/null || return 1
    wait_for 10 gone || { cat step.out >&2 && die "$*: refused by a server that lives on"; }
    return 1
}
gone() { ! kill -0 $server 2>/dev/null; }
# Deployments until the server is gone.
deploy_on() {
    local next live previous
    while :; do
        live=$told
        step "$live" deploy "v$((RANDOM % 2 + 2)).yaml" --set "operators.stamped.fields.turn=$RANDOM" || return 0
        next=$(generation_in warm 2>/dev/null) || return 0
        [ $((RANDOM % 3)) = 0 ] || step "$live" promote --share "$((RANDOM % 60 + 1))%" || return 0
        if [ $((RANDOM % 3)) = 0 ]; then
            step "$live" rollback || return 0
            continue
        fi
        step "$next" promote || return 0
        previous=$(generation_in previous 2>/dev/null) || return 0
        [ $((RANDOM % 3)) = 0 ] || continue
        step "$previous" rollback || return 0
    done
}

start
for ((i = 1; i <= kills; i++)); do
    fatal=$((RANDOM % 7 + 1))
    deploy_on
    { wait $killer && wait $server; } 2>/dev/null || true
    before=$told
    start
    live=$(generation_in live)
    [ "$live" = "$told" ] || [ "$live" = "$asked" ] || die "kill $i, $ms ms into $during: generation $live is live; told was $told, asked for $asked"
    told=$live
    printf 'kill %d, %d ms into %s: told %d, asked %d, live %d\n' "$i" "$ms" "$during" "$before" "$asked" "$live"
done
touch stop
wait_for 60 test -e fed
records=$(cat fed)
caught_up() { [ "$(client status --json | python3 -c "import json,sys; t=json.load(sys.stdin)['topologies'][0]; print(sum(p['committed'] for p in t['sources']))")" = "$(cat in-*.ndjson | wc -c)" ]; }
wait_for 60 caught_up || { client status >&2 && die 'it does not catch up'; }
kill -TERM $server
wait $server || die 'the last run ended with an error'
for zone in landing plain; do "$support/landing_check" --partitions 2 --records "$records" "state/$zone"; done
[ "$told" -gt 3 ] || die "only $told generations were live"
finish
