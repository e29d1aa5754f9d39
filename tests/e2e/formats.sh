#!/usr/bin/env bash
# formats.sh: each text format of parse over lines as programs write them, awkward ones among them, agreed field by field with independent
# parsers: Python's csv and re, apachelogs, logfmtkv, syslog-rfc5424-parser from PyPI, goaccess and rsyslog from Debian. And stack traces
# joined by the file source.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

lines=$(count 100000 1000000)
seed=${SLUICE_SEED:-1}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice-tests
cd "$work"

# The parsers of PyPI, once, into the cache.
modules=(apachelogs==0.6.1 logfmtkv==0.2.1 syslog-rfc5424-parser==0.3.2)
parsers=$cache/python-$(echo "${modules[@]}" | cksum | cut -d' ' -f1)
if [ ! -d "$parsers" ]; then
    mkdir -p "$cache"
    rm -rf "$parsers.part"
    python3 -m pip install --quiet --disable-pip-version-check --target "$parsers.part" "${modules[@]}" >"$work/pip.log" 2>&1 ||
        skip "no pip, or PyPI is out of reach: $(tail -n 1 "$work/pip.log")"
    mv "$parsers.part" "$parsers" 2>/dev/null || rm -rf "$parsers.part" # another run was faster
fi
export PYTHONPATH=$parsers

# run_format FORMAT: FORMAT.lines to FORMAT.records, and how many were set aside in $dead
run_format() {
    cat >"$1.yaml" <<YAML
name: t
sources:
  in: { type: file, paths: [$1.lines], read: once }
operators:
  parsed: { type: parse, inputs: [in], $("$support/format_lines" settings "$1") }
sinks:
  out: { type: stdout, inputs: [parsed], encoding: { codec: json } }
dead_letters: { type: files, dir: dead, compression: none }
YAML
    "$sluice" run "$1.yaml" --once --quiet --workers 1 --data-dir "data-$1" >"$1.records" 2>"$1.log" || die "$1: $(tail -n 3 "$1.log")"
    dead=$(find "data-$1/dead" -name '*.ndjson' -exec cat {} + 2>/dev/null | wc -l)
}

for format in csv regex clf logfmt syslog; do
    "$support/format_lines" make $format "$lines" "$seed" >$format.lines
    run_format $format
    "$support/format_lines" check $format $format.lines $format.records "$dead" || die "$format, SLUICE_SEED=$seed"
done

if command -v goaccess >/dev/null; then
    "$support/format_lines" make clf-plain "$lines" "$seed" >clf-plain.lines
    run_format clf-plain
    goaccess clf-plain.lines --log-format=COMBINED --no-global-config --no-progress --ignore-panel=REFERRERS -o goaccess.json >goaccess.log 2>&1 ||
        die "goaccess: $(tail -n 3 goaccess.log)"
    "$support/format_lines" goaccess clf-plain.records goaccess.json || die 'goaccess counts otherwise'
else
    echo 'goaccess is not installed: not compared'
fi

if command -v rsyslogd >/dev/null; then
    # What has a priority and is right; rsyslog takes lines from a socket.
    grep -a '^<' syslog.lines | iconv -f utf-8 -t utf-8 -c | "$support/format_lines" good syslog >rsyslog.lines
    cp syslog.yaml rsyslog.yaml
    sed -i 's/syslog\.lines/rsyslog.lines/' rsyslog.yaml
    "$sluice" run rsyslog.yaml --once --quiet --workers 1 --data-dir data-rsyslog >rsyslog.records 2>rsyslog.log || die "rsyslog's lines: $(tail -n 3 rsyslog.log)"
    cat >rsyslog.conf <<CONF
global(workDirectory="$work" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off" parser.permitSlashInProgramName="on")
module(load="imptcp")
template(name="json" type="list") {
    constant(value="{") property(outname="pri" name="pri" format="jsonf") constant(value=",") property(outname="host" name="hostname" format="jsonf")
    constant(value=",") property(outname="app" name="app-name" format="jsonf") constant(value=",") property(outname="procid" name="procid" format="jsonf")
    constant(value=",") property(outname="msgid" name="msgid" format="jsonf") constant(value=",") property(outname="sd" name="structured-data" format="jsonf")
    constant(value=",") property(outname="message" name="msg" format="jsonf") constant(value="}\\n")
}
input(type="imptcp" path="$work/rsyslog.sock" ruleset="all")
ruleset(name="all" queue.type="Direct") { action(type="omfile" file="$work/theirs" template="json" asyncWriting="off") }
CONF
    rsyslogd -n -f rsyslog.conf -i "$work/rsyslog.pid" >rsyslogd.log 2>&1 &
    wait_for 20 test -S rsyslog.sock || die "rsyslog does not listen: $(cat rsyslogd.log)"
    python3 -c 'import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(open(sys.argv[2], "rb").read())' rsyslog.sock rsyslog.lines
    wanted=$(wc -l <rsyslog.lines)
    their_lines() { [ "$(wc -l <theirs)" -ge "$wanted" ]; }
    wait_for 60 their_lines || die "rsyslog wrote $(wc -l <theirs) of $wanted lines"
    "$support/format_lines" rsyslog rsyslog.lines rsyslog.records theirs || die 'rsyslog reads otherwise'
else
    echo 'rsyslogd is not installed: not compared'
fi

# Traces of three languages between plain lines, followed while the file grows: as many records as were meant, each whole.
traces=$(count 2000 50000)
cat >traces.yaml <<YAML
name: t
sources:
  in: { type: file, paths: [traces.log], read: once, multiline: { stack_traces: [java, python, go] } }
operators:
  parsed: { type: parse, inputs: [in], format: regex, pattern: '(?s)^(?<n>\d+) (?<message>.*)', types: { n: number } }
sinks:
  out: { type: stdout, inputs: [parsed], encoding: { codec: json } }
YAML
"$support/format_lines" traces "$traces" "$seed" >traces.log
"$sluice" run traces.yaml --once --quiet --workers 1 --data-dir data-traces >traces.records 2>traces.err || die "traces: $(tail -n 3 traces.err)"
"$support/format_lines" joined "$traces" "$seed" traces.records || die "traces, SLUICE_SEED=$seed"
finish
