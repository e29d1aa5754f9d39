#!/usr/bin/env bash
# ctrl_c.sh: Ctrl-C once drains, says what it waits for and ends cleanly; twice ends at once and loses nothing; a second process on
# the same data_dir is refused with the first one's pid.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 50000 250000) # in each of 4 files
rounds=$(count 6 20)
for p in 0 1 2 3; do "$support/numbered" $p 0 "$records" >"$work/in-$p.ndjson"; done
# config NAME: follows the files; what the landing zone gets stays open for long, and the slow sink acknowledges late
config() {
    cat >"$work/$1.yaml" <<YAML
name: $1
consumers: 2
commit: { every: 100ms }
sources:
  logs: { type: file, paths: ["$work/in-*.ndjson"]${2:-} }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: ${3:-1h} } }
  slow: { type: blackhole, inputs: [logs], delay: 3s }
YAML
}
begin() { # NAME; waits until records are read
    "$sluice" run "$work/$1.yaml" --data-dir "$work/$1" >"$work/$1.log" 2>&1 &
    pid=$!
    wait_for 30 reads "$1" || die "$1 reads nothing: $(cat "$work/$1.log")"
}
reads() { curl -s --unix-socket "$work/$1/control.sock" http://sluice/status 2>/dev/null | grep -qE '"records":[1-9]'; }
ended() { # sets status
    status=0
    wait "$pid" || status=$?
}

echo 'Ctrl-C once'
config once
begin once
if timeout 30 "$sluice" run "$work/once.yaml" --data-dir "$work/once" >"$work/second.log" 2>&1; then die 'a second process runs on the same data_dir'; fi
grep -qw "$pid" "$work/second.log" || die "the refusal of the second process does not name pid $pid: $(cat "$work/second.log")"
kill -INT "$pid"
ended
[ $status = 0 ] || die "did not end with 0: $(cat "$work/once.log")"
grep -q 'interrupted: reading has stopped' "$work/once.log" || die "does not say that it drains: $(cat "$work/once.log")"
grep -q 'once waits for .*Ctrl-C again' "$work/once.log" || die "does not say what it waits for: $(cat "$work/once.log")"
grep -q 'ledger balanced' "$work/once.log" || die "no summary: $(cat "$work/once.log")"
config once ', read: once'
"$sluice" run "$work/once.yaml" --once --quiet --data-dir "$work/once" >>"$work/once.log" 2>&1 || die "the next run: $(tail -n 5 "$work/once.log")"
"$support/landing_check" --partitions 4 --records "$records" "$work/once/landing"

echo 'Ctrl-C twice'
config twice '' 300ms
twice=0
for ((i = 0; i < rounds; i++)); do
    "$sluice" run "$work/twice.yaml" --data-dir "$work/twice" >"$work/twice.log" 2>&1 &
    pid=$!
    wait_for 30 grep -q 'state in' "$work/twice.log" || die "twice: $(cat "$work/twice.log")"
    pause_ms "$(moment 0 600)"
    kill -INT "$pid"
    pause_ms "$(moment 250 400)" # less than 200 ms apart is one Ctrl-C that came twice
    kill -INT "$pid" 2>/dev/null || true
    ended
    case $status in 130) twice=$((twice + 1)) ;; 0) ;; *) die "ended with $status: $(cat "$work/twice.log")" ;; esac
done
[ $twice -gt 0 ] || die 'no run was ended by a second Ctrl-C'
grep -q 'ended at once' "$work/twice.log" || [ $status = 0 ] || die "does not say that it ended at once: $(cat "$work/twice.log")"
config twice ', read: once' 300ms
"$sluice" run "$work/twice.yaml" --once --quiet --data-dir "$work/twice" >>"$work/twice.log" 2>&1 || die "the next run: $(tail -n 5 "$work/twice.log")"
"$support/landing_check" --partitions 4 --records "$records" "$work/twice/landing"
echo "$twice of $rounds runs were ended by the second Ctrl-C"
finish
