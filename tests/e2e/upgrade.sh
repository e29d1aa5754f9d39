#!/usr/bin/env bash
# upgrade.sh: the process behind an HTTP source and its spool is upgraded under load, with new binaries that work, fail, or are killed
# before and after they have everything, and with the old one killed halfway: no connection is refused while a process runs, every record that
# was acknowledged is there once, and so are those that were sent again.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

upgrades=$(count 4 20)
kills=$(count 3 20)
senders=4
port=$((20000 + RANDOM % 20000))
dir=$work/data

cat >"$work/t.yaml" <<YAML
name: doors
sources:
  in: { type: http, listen: "127.0.0.1:$port", partitions: 1 }
operators:
  parsed: { type: parse, inputs: [in], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: 300ms } }
YAML

# Numbered records, one a request, sent again with the same key until they are acknowledged; ends with the count when "stop" is there.
cat >"$work/sender" <<'PY'
import http.client, os, sys, threading
port, work, senders = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
lock, refused, again, sent = threading.Lock(), 0, 0, [0] * senders
enough = threading.Event()

def tally(what):
    global refused, again
    with lock:
        refused += what == "refused"
        again += 1
        if what == "refused":
            open(work + "/refused", "a").write("x")

def post(state, p, n):
    body = '{"p":%d,"n":%d,"service":"s%d","level":"info"}\n' % (p, n, p)
    while True:
        try:
            if state.get("link") is None:
                state["link"] = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            state["link"].request("POST", "/", body, {"Idempotency-Key": "%d-%d" % (p, n)})
            answer = state["link"].getresponse()
            answer.read()
            if answer.status == 200:
                return
            tally("status")
        except ConnectionRefusedError:
            tally("refused")
            state["link"] = None
            enough.wait(0.02)
        except (OSError, http.client.HTTPException):
            tally("broken")
            state["link"] = None

def run(p):
    state, n = {}, 0
    while not os.path.exists(work + "/stop") or n < target[0]:
        post(state, p, n)
        n += 1
        sent[p] = n
        if os.path.exists(work + "/stop") and target[0] == 0:
            with lock:
                if target[0] == 0:
                    target[0] = max(sent) + 50
        with open(work + "/at-%d" % p, "w") as at:
            at.write(str(n))

target = [0]
threads = [threading.Thread(target=run, args=(p,)) for p in range(senders)]
for thread in threads: thread.start()
for thread in threads: thread.join()
while min(sent) < max(sent):  # the same number of each
    p = sent.index(min(sent))
    post({}, p, sent[p])
    sent[p] += 1
print(sent[0], refused, again)
PY

started() { [ -S "$dir/control.sock" ] && "$sluice" status --socket "$dir/control.sock" >/dev/null 2>&1; }
start() {
    "$sluice" run "$work/t.yaml" --data-dir "$dir" >>"$work/log" 2>&1 &
    wait_for 30 started || die "it did not start: $(tail -n 5 "$work/log")"
}
holder() { cat "$dir/lock"; }
upgraded() { "$sluice" upgrade --socket "$dir/control.sock" --json "$@" >"$work/report" 2>"$work/upgrade.err"; }
alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }
# flows: more was acknowledged than when it was asked last
flows() {
    local now
    now=$(cat "$work/at-0" 2>/dev/null || echo 0)
    [ "${now:-0}" -gt "${flowed:-0}" ] && flowed=$now
}
# refuses BINARY: an upgrade that has to fail, and the same process goes on
refuses() {
    local old
    old=$(holder)
    if upgraded --binary "$1"; then die "$1 has taken over"; fi
    [ "$(holder)" = "$old" ] || die "after $1, process $(holder) holds the folder, not $old"
    alive "$old" || die "after $1 the old process is gone: $(tail -n 5 "$work/log")"
    flows || true
    wait_for 30 flows || die "after $1 nothing is acknowledged any more: $(tail -n 5 "$work/log")"
}

start
python3 "$work/sender" "$port" "$work" "$senders" >"$work/sent" &
sender=$!
wait_for 30 flows || die 'nothing is acknowledged'

for ((i = 1; i <= upgrades; i++)); do
    old=$(holder)
    upgraded || die "upgrade $i: $(cat "$work/report" "$work/upgrade.err"; tail -n 5 "$work/log")"
    [ "$(holder)" != "$old" ] || die "upgrade $i: the same process holds the folder"
    wait_for 30 gone "$old" || die "upgrade $i: the old process does not end"
    flows || true
    wait_for 30 flows || die "upgrade $i: nothing is acknowledged any more"
    python3 -c 'import json,sys; r=json.load(open(sys.argv[1]))["report"]; print("gap %.0f ms, of that to finish %.0f ms" % (r.get("gap_ms", 0), r["drain_ms"]))' "$work/report"
done

# new binaries that are none, that fail, that speak no upgrade, and that are killed before they are ready
cat >"$work/early" <<SH
#!/usr/bin/env bash
"$sluice" "\$@" &
kill -KILL \$!
wait \$!
SH
# ... and as soon as they have the folder: their pid is in the lock then
cat >"$work/late" <<SH
#!/usr/bin/env bash
"$sluice" "\$@" &
until [ "\$(cat '$dir/lock')" = \$! ]; do kill -0 \$! || exit 1; done
kill -KILL \$!
SH
printf '#!/bin/sh\nexit 1\n' >"$work/failing"
chmod +x "$work/early" "$work/late" "$work/failing"
for binary in /bin/false "$work/failing" "$work/early" "$work/late" "$work/late"; do refuses "$binary"; done
if upgraded --binary "$work/sender"; then die 'a file that cannot be run has taken over'; fi
grep -q 'cannot be run' "$work/upgrade.err" "$work/report" || die "what it says of a file that cannot be run: $(cat "$work/report" "$work/upgrade.err")"
[ ! -s "$work/refused" ] || die 'a connection was refused while a process ran'

# the old one dies at any moment: the new one has everything and goes on, or nothing and ends
for ((i = 1; i <= kills; i++)); do
    old=$(holder)
    upgraded &
    client=$!
    pause_ms "$(moment 5 700)"
    kill -KILL "$old" 2>/dev/null || true
    wait $client || true
    wait_for 30 gone "$old"
    settled() { started || { new=$(holder); [ "$new" = "$old" ] || gone "$new"; }; }
    wait_for 60 settled || die "kill $i: neither runs nor ended: $(tail -n 5 "$work/log")"
    started || start
    flows || true
    wait_for 30 flows || die "kill $i: nothing is acknowledged any more: $(tail -n 5 "$work/log")"
done

touch "$work/stop"
wait $sender || die 'the sender failed'
read -r sent refused again <"$work/sent"
last=$(holder)
kill -TERM "$last"
wait_for 60 gone "$last" || die 'it does not end'
"$support/landing_check" --partitions "$senders" --records "$sent" "$dir/landing"
echo "$((sent * senders)) records, $again requests sent again, $refused of them refused (while no process ran: the $kills kills of the old one)"
finish
