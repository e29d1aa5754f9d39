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

records=$(count 20000 200000)
kills=$(count 8 60)
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
finish
