#!/usr/bin/env bash
# syslog.sh: syslog from util-linux's logger (UDP, TCP by lines and by octet counting) and from a real rsyslog (UDP, TCP with octet
# counting, TLS with a client certificate) into the landing zone: every message there, once, by its number; with a restart of sluice
# in the middle, which rsyslog's queues must bridge.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

PATH=$PATH:/usr/sbin
command -v rsyslogd >/dev/null || skip 'rsyslogd is not installed (packages rsyslog and rsyslog-openssl)'
compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null || skip "rsyslog's TLS driver is not installed (package rsyslog-openssl)"
lines=$(count 5000 100000)

"$support/certificates" "$work/tls" || die 'no certificates'
read -r udp tcp tls < <(python3 - <<'PY'
import socket
held = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_STREAM)]
for s in held:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))
PY
)
cat >"$work/syslog.yaml" <<YAML
name: syslog
sources:
  net:
    type: syslog
    listen: ["udp://127.0.0.1:$udp", "tcp://127.0.0.1:$tcp", "tls://127.0.0.1:$tls"]
    receive_buffer: 64MiB
    tls: { certificate: "$work/tls/server.pem", key: "$work/tls/server.key", ca: "$work/tls/ca.pem" }
operators:
  parsed: { type: parse, inputs: [net], format: text }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: all, roll: { bytes: 8MiB, every: 1s } }
YAML
begin() {
    "$sluice" run "$work/syslog.yaml" --data-dir "$work/data" >>"$work/log" 2>&1 &
    pid=$!
    wait_for 30 curl -fs -o "$work/ready" --unix-socket "$work/data/control.sock" http://sluice/readyz || die "not ready: $(cat "$work/log")"
}
end() {
    kill -TERM "$pid"
    wait "$pid" || die "sluice ended with an error: $(tail -n 20 "$work/log")"
}
# landed KEY: distinct numbers, and lines, whose message says via=KEY
landed() {
    "$sluice" cat "$work/data/landing" 2>/dev/null | grep -oE "via=$1 seq=[0-9]+" | sort | uniq -c |
        awk '{ lines += $1; distinct++ } END { print distinct + 0, lines + 0 }'
}
all_landed() { [ "$(landed "$1")" = "$2 $2" ]; }
numbers() { seq 1 "$2" | sed "s/.*/a message via=$1 seq=&/"; }

begin
echo 'logger: UDP, TCP by lines, TCP by octet counting'
numbers logger-udp 500 | logger --server 127.0.0.1 --port "$udp" --udp
numbers logger-tcp "$lines" | logger --server 127.0.0.1 --port "$tcp" --tcp
numbers logger-octet "$lines" | logger --server 127.0.0.1 --port "$tcp" --tcp --octet-count
wait_for 30 all_landed logger-udp 500 || die "logger, UDP: $(landed logger-udp) of 500 landed"
wait_for 60 all_landed logger-tcp "$lines" || die "logger, TCP: $(landed logger-tcp) of $lines landed"
wait_for 60 all_landed logger-octet "$lines" || die "logger, octet counting: $(landed logger-octet) of $lines landed"

echo 'rsyslog: UDP, TCP with octet counting, TLS with a client certificate'
for way in udp octet tls; do numbers "rsyslog-$way" "$([ $way = udp ] && echo 2000 || echo "$lines")" >"$work/in-$way"; done
cat >"$work/rsyslog.conf" <<CONF
global(workDirectory="$work/rsyslog" DefaultNetstreamDriver="ossl" DefaultNetstreamDriverCAFile="$work/tls/ca.pem"
    DefaultNetstreamDriverCertFile="$work/tls/client.pem" DefaultNetstreamDriverKeyFile="$work/tls/client.key")
module(load="imfile" mode="polling" pollingInterval="1")
input(type="imfile" File="$work/in-udp" Tag="in:" ruleset="udp")
input(type="imfile" File="$work/in-octet" Tag="in:" ruleset="octet")
input(type="imfile" File="$work/in-tls" Tag="in:" ruleset="tls")
ruleset(name="udp") {
    action(type="omfwd" target="127.0.0.1" port="$udp" protocol="udp" template="RSYSLOG_SyslogProtocol23Format")
}
ruleset(name="octet") {
    action(type="omfwd" target="127.0.0.1" port="$tcp" protocol="tcp" TCP_Framing="octet-counted"
        template="RSYSLOG_SyslogProtocol23Format" queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
}
ruleset(name="tls") {
    action(type="omfwd" target="127.0.0.1" port="$tls" protocol="tcp" TCP_Framing="octet-counted" StreamDriver="ossl"
        StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"
        template="RSYSLOG_SyslogProtocol23Format" queue.type="LinkedList" action.resumeRetryCount="-1" action.resumeInterval="1")
}
CONF
mkdir "$work/rsyslog"
rsyslogd -N1 -f "$work/rsyslog.conf" -i "$work/rsyslog.pid" >"$work/rsyslog.check" 2>&1 || die "rsyslog refuses its configuration: $(cat "$work/rsyslog.check")"
rsyslogd -n -f "$work/rsyslog.conf" -i "$work/rsyslog.pid" >"$work/rsyslog.log" 2>&1 &
wait_for 30 all_landed rsyslog-udp 2000 || die "rsyslog, UDP: $(landed rsyslog-udp) of 2000 landed; $(tail -n 3 "$work/rsyslog.log")"
wait_for 60 all_landed rsyslog-octet "$lines" || die "rsyslog, octet counting: $(landed rsyslog-octet) of $lines landed; $(tail -n 3 "$work/rsyslog.log")"
wait_for 60 all_landed rsyslog-tls "$lines" || die "rsyslog, TLS: $(landed rsyslog-tls) of $lines landed; $(tail -n 3 "$work/rsyslog.log")"

echo 'a restart between two senders: what was taken before it is there'
numbers again "$lines" | logger --server 127.0.0.1 --port "$tcp" --tcp --octet-count
end
begin
wait_for 60 all_landed again "$lines" || die "over a restart: $(landed again) of $lines landed"
end

"$sluice" cat "$work/data/landing" >"$work/all"
grep -qE '^<[0-9]+>1 .*via=rsyslog-tls seq=1$' "$work/all" || die 'a record is not the message as it came'
if grep -qE 'error|lost' "$work/log"; then die "the log says: $(grep -E 'error|lost' "$work/log")"; fi
finish
