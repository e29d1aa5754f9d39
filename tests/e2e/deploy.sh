#!/usr/bin/env bash
# deploy.sh: deployments by the command line: docs/deploy.md exactly as written; then warm, shadow, canary, live and back with kill -9 in
# between, a second deployment refused, a client that is interrupted, pause and drain. Each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

# ---- the page, as written ----
mkdir "$work/page" "$work/bin" && ln -s "$sluice" "$work/bin/sluice"
python3 - "$root/docs/deploy.md" "$work/page" <<'PY' >"$work/page.sh"
import re, sys
inside, name, text = None, None, []
print("set -euo pipefail\ntrap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT")
for line in open(sys.argv[1]):
    if inside is None and line.startswith("```"):
        inside, text = line[3:].strip(), []
    elif inside is not None and line.startswith("```"):
        if inside == "yaml":
            open(f"{sys.argv[2]}/{name}", "w").write("".join(text))
        else:
            print("".join(text), end="")
        inside = None
    elif inside is not None:
        text.append(line)
    else:
        found = re.findall(r"save (?:this|it) as `([a-z0-9.]+)`", line, re.I)
        name = found[-1] if found else name
PY
(cd "$work/page" && PATH=$work/bin:$PATH bash "$work/page.sh") >"$work/page.out" 2>&1 || { tail -n 15 "$work/page.out" >&2 && die 'the page does not run as written'; }
grep -q '"region":"eu"' "$work/page.out" || { tail -n 15 "$work/page.out" >&2 && die 'the page: the last record is none of the new version'; }
grep -q 'topology.yaml' "$work/page/run.log" || { cat "$work/page/run.log" >&2 && die 'the page: the restart says nothing of the file that does not run'; }
echo 'docs/deploy.md runs as written'

# ---- by hand ----
cd "$work"
version() { # NUMBER: a topology that writes it into every record
    cat <<YAML
name: orders
sources: { logs: { type: file, paths: ["$work/in-*.ndjson"] } }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
  stamped: { type: set, inputs: [parsed], fields: { version: $1 } }
sinks: { landing: { type: files, inputs: [stamped], dir: landing, compression: none, roll: { bytes: 8MiB, every: 300ms } } }
YAML
}
for v in 1 2 3 4; do version $v >v$v.yaml; done
# Numbered records for as long as the test goes on, then how many there were of each of the two partitions.
cat >feed.py <<'PY'
import os, subprocess, sys
numbered, count = sys.argv[1], 0
while not os.path.exists("stop"):
    for p in (0, 1):
        with open(f"in-{p}.ndjson", "ab") as out:
            subprocess.run([numbered, "--over", "0.1", str(p), str(count), "500"], stdout=out, check=True)
    count += 500
open("fed.tmp", "w").write(str(count))
os.rename("fed.tmp", "fed")
PY
python3 feed.py "$support/numbered" &
printf 'steps: [{ canary: 10%%, hold: 10m }, live]\njudge: { warm_up: 0s }\n' >slow.yaml
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
ask() { # PYTHON over the topology's status, as t
    client status --json | python3 -c "import json,sys; t=json.load(sys.stdin)['topologies'][0]; print($1)"
}
now() { ask '(t["live"]["generation"], t.get("candidate", {}).get("generation"), t.get("candidate", {}).get("state"))'; }
is_now() { [ "$(now)" = "$1" ] || die "$2: $(now) instead of $1"; }
goes_on() { [ "$(ask 't["records"]')" -gt "$1" ]; }
start() { # FILE
    "$sluice" run "$1" --quiet --data-dir state 2>>run.log &
    server=$!
    wait_for 30 client status >/dev/null 2>&1 || { tail -n 3 run.log >&2 && die 'no server'; }
    wait_for 30 goes_on 0 || die 'no records'
}
crash() { kill -KILL $server && { wait $server 2>/dev/null || true; }; }
refused() { # CODE REGEX COMMAND...
    local code=0
    client "${@:3}" >said 2>&1 || code=$?
    [ $code -eq "$1" ] || { cat said >&2 && die "${*:3} ended with $code, not $1"; }
    grep -Eq "$2" said || { cat said >&2 && die "${*:3} does not say: $2"; }
}

refused 5 'no server' promote
start v1.yaml
is_now '(1, None, None)' 'after the start'
refused 1 'no other one to promote' promote
client deploy v2.yaml
is_now "(1, 2, 'warm')" 'after deploy'
refused 1 'generation 2.*warm' deploy v3.yaml
is_now "(1, 2, 'warm')" 'after a second deployment was refused'
pause_ms "$(moment 0 400)"
crash
start v1.yaml
is_now '(1, None, None)' 'a candidate is gone after kill -9'
client deploy v2.yaml --plan now --wait
is_now '(3, None, None)' 'after deploy --plan now'
refused 0 'no change' deploy v2.yaml
pause_ms "$(moment 0 400)"
crash
start v1.yaml
is_now '(3, None, None)' 'the live generation comes back after kill -9'
grep -q 'sluice deploy' run.log || { tail -n 3 run.log >&2 && die 'the start does not say how to deploy the file that does not run'; }

client deploy v3.yaml
client shadow start
is_now "(3, 4, 'shadow')" 'after shadow start'
differs() { client shadow diff >diff.out && grep -q version diff.out; }
wait_for 20 differs || { cat diff.out >&2 && die 'the shadow shows no difference'; }
client shadow stop
client promote --share 25%
is_now "(3, 4, 'canary')" 'after promote --share'
landed() { grep -qs "\"version\":$1}" state/landing/*.ndjson; }
wait_for 20 landed 3 || die 'the canary gets no records'
pause_ms "$(moment 0 400)"
crash
start v1.yaml
is_now '(3, None, None)' 'a canary is gone after kill -9'

# ---- a client that is interrupted ----
"$sluice" deploy v4.yaml --plan slow.yaml --wait --data-dir state >client.out 2>client.err &
waits=$!
canary() { [ "$(now)" = "(3, 5, 'canary')" ] && grep -q canary client.out; }
wait_for 20 canary || { cat client.out client.err >&2 && die "no canary: $(now)"; }
wait_for 20 landed 4 || die 'the canary of the plan gets no records'
kill -INT $waits
code=0 && wait $waits || code=$?
[ $code -eq 130 ] || { cat client.err >&2 && die "the client ended with $code"; }
grep -q 'sluice rollback orders' client.err || { cat client.err >&2 && die 'the client does not say how to go on'; }
is_now "(3, 5, 'canary')" 'the deployment stays as it was'
client deploy --help >/dev/null
client promote orders
is_now '(5, None, None)' 'after promote'
client rollback orders
is_now '(3, None, None)' 'after rollback'
pause_ms "$(moment 0 400)"
crash
start v1.yaml
is_now '(3, None, None)' 'what was rolled back to comes back'

# ---- a plan that does not come to its end ----
printf 'steps: [{ canary: 1%%, hold: 1s }, live]\njudge: { warm_up: 0s, min_records: 100000000 }\n' >few.yaml
refused 4 'too few to tell.*the plan holds' deploy v4.yaml --plan few.yaml --wait
is_now "(3, 6, 'canary')" 'a canary with too few records is held'
client rollback

# ---- pause, resume, drain ----
client pause
still() { local a && a=$(ask 't["records"]') && pause_ms 300 && [ "$(ask 't["records"]')" = "$a" ]; }
wait_for 20 still || die 'a paused topology reads'
[ "$(ask 't["state"]')" = paused ] || die "paused: $(ask 't["state"]')"
client resume
wait_for 20 goes_on "$(ask 't["records"]')" || die 'a resumed topology does not read'
client history >history.out
cat history.out
grep -Eq '^ +3 +live ' history.out || die 'history does not show the live generation'
grep -Eq '^ +2 +failed ' history.out || die 'history does not show what a kill ended'
python3 - state/audit.log <<'PY' || die 'the audit log does not have who did what'
import getpass, json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
seen = {row["command"] for row in rows if row["who"] == getpass.getuser()}
sys.exit(not {"deploy", "promote", "rollback", "pause", "resume"} <= seen)
PY
touch stop
wait_for 20 test -f fed || die 'the feeder does not end'
all_read() { [ "$(ask 't["lag_records"]')" = 0 ] && still; }
wait_for 30 all_read || die 'not everything is read'
client drain
wait $server || { tail -n 5 run.log >&2 && die 'the process did not end well after drain'; }

# ---- each record once ----
"$support/landing_check" --partitions 2 --records "$(cat fed)" state/landing
for v in 1 2 3 4; do landed $v || die "no record of version $v"; done

# ---- a version that is worse ----
cat >errors.py <<'PY'
import sys
good = """name: orders
sources: { logs: { type: generate, rate: 4000/s, services: 20 } }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
%ssinks: { landing: { type: files, inputs: [%s], dir: landing, roll: { bytes: 8MiB, every: 300ms } } }
"""
odd = """  odd: { type: lua, inputs: [parsed], source: 'local n = 0 function process(r) n = n + 1 if n %% 5 == 0 then error("odd") end end' }
"""
open("fine.yaml", "w").write(good % ("", "parsed"))
open("worse.yaml", "w").write(good % (odd.replace("%%", "%"), "odd"))
PY
python3 errors.py
printf 'steps: [{ canary: 50%%, hold: 1m }, live]\njudge: { warm_up: 0s, min_records: 100, latency: false }\n' >half.yaml
rm -r state
start fine.yaml
refused 3 'rolled back' deploy worse.yaml --plan half.yaml --wait
tail -n 1 said
is_now '(1, None, None)' 'the judge takes a worse version out'
kill -TERM $server
wait $server || { tail -n 5 run.log >&2 && die 'the process did not end well'; }
finish
