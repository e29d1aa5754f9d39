#!/usr/bin/env bash
# bad_generations.sh: each wrong version of bad_generations.txt is refused with its reason, while the version that runs goes on: its
# generation stays, its counters show no gap, batches go on between any two refusals, and every record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

cd "$work"
good='name: orders
sources: { logs: { type: generate, rate: 3000/s, services: 20 } }
operators: { parsed: { type: parse, inputs: [logs], format: json } }
sinks: { landing: { type: files, inputs: [parsed], dir: landing, roll: { bytes: 8MiB, every: 500ms } }, copy: { type: blackhole, inputs: [parsed] } }'
echo "$good" >good.yaml

# ---- what the wrong versions name ----
printf 'service\tteam\n' >narrow.csv
echo 'no library' >text.so
mkdir foreign && echo 'not ours' >foreign/notes.txt
printf 'steps: [{ canary: 50%%, hold: 1s }, { canary: 10%%, hold: 1s }]\n' >bad-plan.yaml
mkdir -p include/sluice && cp "$root/runtime/engine/plugin.h" include/sluice/plugin.h
plugin() { "${CC:-cc}" -std=gnu11 -shared -fPIC -fvisibility=hidden -Iinclude "${@:2}" -o "$1" "$root/docs/plugin/mask.c" || die "$1 was not built"; }
plugin mask.so
plugin other_abi.so -DSL_TRY_MAJOR=99
plugin other.so -DSL_TRY_NAME=something_else
cat >doors.py <<'PY'
import http.server, socketserver, sys, threading
never = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_GET(self):
        if self.path.startswith("/mute"): never.wait()
        self.send_response(401 if self.path.startswith("/denied") else 200); self.send_header("Content-Length", "0"); self.end_headers()
    do_POST = do_HEAD = do_OPTIONS = do_GET
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True
taken, free = Server(("127.0.0.1", 0), Handler), http.server.HTTPServer(("127.0.0.1", 0), Handler)
dead = free.server_port
free.server_close()
open("ports.tmp", "w").write(f"{taken.server_port} {dead}\n"); __import__("os").rename("ports.tmp", "ports")
taken.serve_forever()
PY
python3 doors.py &
wait_for 20 test -f ports || die 'no server to be refused by'
read -r port dead <ports

# ---- the version that runs ----
"$sluice" run good.yaml --quiet --data-dir state 2>run.log &
server=$!
client() { "$sluice" "$1" --data-dir state "${@:2}"; }
# touched BEFORE: says what is wrong of the running version, and its records; nothing wrong: only those. One process a question.
cat >touched.py <<'PY'
import json, sys
t = json.load(sys.stdin)["topologies"][0]
now = (t["live"]["generation"], t.get("candidate", {}).get("state"), t["state"], t["rewinds"], t["commit_failures"], t["gap_offsets"], t["balanced"])
print(t["records"], "" if now == (1, None, "live", 0, 0, 0, True) else now)
PY
records=0
goes_on() { # reads on since the last time
    local now wrong
    read -r now wrong < <(client status --json | python3 touched.py)
    [ -z "$wrong" ] || die "the running version is touched: $wrong"
    [ "$now" -gt "$records" ] && records=$now
}
wait_for 30 client status >/dev/null 2>&1 || { tail -n 3 run.log >&2 && die 'no server'; }
wait_for 20 goes_on || die 'no records'

# fill NAME: the version's text from its lines
fill() {
    awk -v good="$good" '{ if ($0 == "@GOOD@") print good; else print }' "$1" |
        sed "s|@WORK@|$work|g; s|@PORT@|$port|g; s|@DEAD@|$dead|g" >topology.yaml
    if grep -q '^@BINARY@$' topology.yaml; then head -c 3000 /dev/urandom >topology.yaml; fi
}
try() { # WHAT, REGEX, OPTIONS: of ./topology.yaml
    local code=0
    # shellcheck disable=SC2086 # options are words
    client deploy topology.yaml $3 >said.out 2>said.err || code=$?
    [ $code -eq 1 ] || { cat said.out said.err >&2 && die "$1: deploy ended with $code, not 1"; }
    grep -Eq -- "$2" said.err || { cat said.err >&2 && die "$1: the refusal does not say: $2"; }
    wait_for 20 goes_on || die "$1: no batch came after it"
}
tried=0
next() { # tries what was collected
    [ -n "${what:-}" ] || return 0
    fill body
    try "$what" "${regex//@PORT@/$port}" "${options//@WORK@/$work}"
    tried=$((tried + 1))
}
what=''
while IFS= read -r line; do
    case $line in
    '=== '*) next && what=${line#=== } regex='' options='' && : >body ;;
    '~ '*) regex=${line#\~ } ;;
    '+ '*) options=${line#+ } ;;
    *) [ -z "$what" ] || printf '%s\n' "$line" >>body ;;
    esac
done <"$here/bad_generations.txt"
next
[ $tried -ge 60 ] || die "only $tried were tried"

# ---- the rest of what is wrong: files that are not there ----
rm -f topology.yaml
try 'a file that is missing' 'topology.yaml' ''
mkdir topology.yaml
try 'a folder without a topology' 'topology.yaml' ''
[ "$(client history --json | python3 -c 'import json,sys; print(len([g for g in json.load(sys.stdin)["generations"] if g["live_unix_ms"]]))')" = 1 ] ||
    die "history: $(client history)"
kill -TERM $server
wait $server || { tail -n 5 run.log >&2 && die 'the process did not end well'; }
"$sluice" audit good.yaml --data-dir state >audit.out 2>&1 || { tail -n 5 audit.out >&2 && die 'the landing zone has not each record once'; }
echo "$((tried + 2)) wrong versions refused; $(tail -n 1 audit.out)"
finish
