#!/usr/bin/env bash
# replay.sh: sluice replay --dead: records that a wrong setting made dead letters go again, once the setting is right: through the
# stage that had failed and to no sink that had them already. Without a server, killed with -9 again and again; in a running
# server, killed likewise; letters that die again and go a third time; a sink that refuses.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 10000 200000)
kills=$(count 6 60)
"$support/numbered" 0 0 "$records" >"$work/in.ndjson"
sort "$work/in.ndjson" >"$work/want"

# topology FILE FORMAT: parse as FORMAT behind the source; `around` gets every record at once, and must not get one twice
topology() {
    cat >"$work/$1.yaml" <<YAML
name: letters
sources:
  logs: { type: file, paths: ["$work/in.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: $2 }
  kept: { type: filter, inputs: [parsed], where: { not: { service: nobody } } }
sinks:
  landing: { type: files, inputs: [kept], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: 200ms } }
  around: { type: files, inputs: [logs], dir: around, path: all }
YAML
}
topology wrong clf
topology wrong_again logfmt
topology right json
run() { "$sluice" run "$work/$1.yaml" --data-dir "$data" --once >>"$work/log" 2>&1 || die "run $1: $(tail -n 5 "$work/log")"; }
replay() { "$sluice" replay --dead "$work/$1.yaml" --data-dir "$data" "${@:2}"; }
# same FOLDER: its records are those of the input, each once
same() { "$sluice" cat "$data/$1" 2>/dev/null | sort | cmp -s - "$work/want"; }
lines() { "$sluice" cat "$data/$1" 2>/dev/null | wc -l; }
said() { grep -qF "$1" <<<"$2" || die "says: $2"; }

echo 'without a server, killed while it replays'
data=$work/alone
run wrong
[ "$(lines dead/letters)" = "$records" ] || die "$(lines dead/letters) letters of $records"
run right # the right settings alone bring nothing back
[ "$(lines landing)" = 0 ] || die 'records landed without a replay'
KILL_MS=500 kill_while "$kills" "$sluice" replay --dead "$work/right.yaml" --data-dir "$data"
replay right >>"$work/log" || die "replay: $(tail -n 3 "$work/log")"
same landing || die "of $records letters $(lines landing) landed after kills"
same around || die "a sink beside the stage has $(lines around) records of $records"
said "0 letters sent again; $records were sent before" "$(replay right)"
same landing || die 'a second replay sent some twice'

echo 'only what is asked for'
data=$work/some
run wrong
said "0 letters sent again; $records do not match" "$(replay right --stage kept)"
said "0 letters sent again; $records do not match" "$(replay right --reason 'no such reason')"
said "0 letters sent again; $records do not match" "$(replay right --since 0s)"
said "$records letters sent again" "$(replay right --stage parsed --reason 'log format' --since 24h)"
same landing || die "$(lines landing) of $records landed"

echo 'letters that die again keep their origin, and go a third time'
data=$work/twice
run wrong
said "$records letters sent again" "$(replay wrong_again)"
[ "$(lines dead/letters)" = $((2 * records)) ] || die "$(lines dead/letters) letters, not $((2 * records))"
origins=$("$sluice" cat "$data/dead/letters" | grep -oE '"source":.*"offset":[0-9]+' | sort | uniq -c | awk '$1 != 2' | wc -l)
[ "$origins" = 0 ] || die "$origins letters do not have the origin of their first"
said "$records letters sent again" "$(replay right --reason 'not logfmt' 2>&1 || replay right --stage parsed)"
same landing || die "$(lines landing) of $records landed"
same around || die "a sink beside the stage has $(lines around) records"

echo 'in a running server, killed and started again'
data=$work/server
run wrong
begin() {
    "$sluice" run "$work/right.yaml" --data-dir "$data" >>"$work/log" 2>&1 &
    pid=$!
    wait_for 30 curl -fs -o "$work/ready" --unix-socket "$data/control.sock" http://sluice/readyz || die "not ready: $(tail -n 5 "$work/log")"
}
for ((i = 0; i < 3; i++)); do
    begin
    replay right >>"$work/replayed" 2>&1 &
    asked=$!
    pause_ms "$(moment 5 300)"
    kill -KILL $pid
    wait $pid 2>/dev/null || true
    wait $asked || true
done
begin # goes on by itself with what was sent
replay right >>"$work/replayed" 2>&1 || die "replay: $(tail -n 3 "$work/replayed")"
wait_for 60 same landing || die "of $records letters $(lines landing) landed; $(tail -n 2 "$work/replayed")"
kill -TERM $pid
wait $pid || die "the server ended with an error: $(tail -n 5 "$work/log")"
same around || die "a sink beside the stage has $(lines around) records"

echo 'a stage that is no more, and one that cannot be told apart'
data=$work/gone
run wrong
sed 's/parsed/reads/g' "$work/right.yaml" >"$work/renamed.yaml"
if out=$(replay renamed 2>&1); then die "says: $out"; fi
said 'no stage parsed any more' "$out"
sed 's/inputs: \[kept\]/inputs: [kept, logs]/' "$work/right.yaml" >"$work/diamond.yaml"
if out=$(replay diamond 2>&1); then die "says: $out"; fi
said 'behind parsed and around it' "$out"
said "$records letters sent again" "$(replay right)"
same landing || die "$(lines landing) of $records landed"
echo 'records that a back-end refused'
data=$work/refused
cat >"$work/backend.py" <<'PY'
import http.server, os, sys
work = sys.argv[1]
class Backend(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refuse = os.path.exists(work + "/refuse")
        if not refuse:
            with open(work + "/posted", "ab") as out:
                out.write(body if body.endswith(b"\n") else body + b"\n")
        self.send_response(400 if refuse else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *ignored):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
with open(work + "/port.new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename(work + "/port.new", work + "/port")
server.serve_forever()
PY
: >"$work/refuse"
python3 "$work/backend.py" "$work" &
wait_for 20 test -s "$work/port" || die 'no back-end'
head -n 500 "$work/in.ndjson" >"$work/some.ndjson"
cat >"$work/backend.yaml" <<YAML
name: letters
sources:
  logs: { type: file, paths: ["$work/some.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
  kept: { type: filter, inputs: [parsed], where: { not: { service: search } } }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: all }
  backend: { type: http, inputs: [kept], where: { not: { service: cart } }, url: "http://127.0.0.1:$(cat "$work/port")/" }
YAML
run backend
grep -v '"service":"search"' "$work/some.ndjson" | grep -v '"service":"cart"' | sort >"$work/want-posted"
posted=$(wc -l <"$work/want-posted")
[ "$(lines dead/letters)" = "$posted" ] || die "$(lines dead/letters) letters of $posted refused records"
said "$posted letters sent again" "$(replay backend --stage backend)" # refused again: letters of letters
[ "$(lines dead/letters)" = $((2 * posted)) ] || die "$(lines dead/letters) letters, not $((2 * posted))"
origins=$("$sluice" cat "$data/dead/letters" | grep -oE '"source":.*"offset":[0-9]+' | sort | uniq -c | awk '$1 != 2' | wc -l)
[ "$origins" = 0 ] || die "$origins letters of refused records do not have their first origin"
rm "$work/refuse"
said "$posted letters sent again; $posted were sent before" "$(replay backend)"
sort "$work/posted" | cmp -s - "$work/want-posted" || die "the back-end has $(wc -l <"$work/posted") records of $posted"
[ "$(lines landing)" = 500 ] || die "the landing zone has $(lines landing) records of 500"

echo 'records that a back-end refused as its encoding had made them, of lines that are no JSON'
data=$work/encoded
: >"$work/refuse"
rm "$work/posted"
seq -f 'line "%g" of no JSON' 1 300 >"$work/lines.txt"
cat >"$work/encoded.yaml" <<YAML
name: letters
sources:
  logs: { type: file, paths: ["$work/lines.txt"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: text }
sinks:
  backend:
    type: http
    inputs: [parsed]
    url: "http://127.0.0.1:$(cat "$work/port")/"
    encoding: { codec: json, fields: [message, "@topic"], names: { message: line } }
YAML
run encoded
[ "$(lines dead/letters)" = 300 ] || die "$(lines dead/letters) letters of 300 refused records"
sed 's/encoding: .*/framing: lines\n    encoding: { codec: csv, fields: [message] }/' "$work/encoded.yaml" >"$work/as_csv.yaml"
if out=$(replay as_csv 2>&1); then die "says: $out"; fi
said 'does not write JSON' "$out"
rm "$work/refuse"
said "300 letters sent again" "$(replay encoded)"
python3 -c '
import json, sys
for n in range(1, 301):
    print(json.dumps({"line": f"line \"{n}\" of no JSON", "@topic": sys.argv[1]}, separators=(",", ":")))' "$work/lines.txt" | sort >"$work/want-posted"
sort "$work/posted" | cmp -s - "$work/want-posted" || die "the back-end has other records than it was to get: $(head -n 1 "$work/posted")"
finish
