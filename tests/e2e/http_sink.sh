#!/usr/bin/env bash
# http_sink.sh: the http sink before a back-end that is sick in every way (tests/support/sick_server), and has records that it never
# takes: each of the others is answered for once, those are dead letters, and the landing zone has all.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

input 4 "$(count 2500 12500)"
break_some 971

# account NAME: each record that may be taken was answered for once
account() {
    python3 - "$work/$1/account" "$work/broken.ids" "$partitions" "$records" <<'PYTHON' || die "$1: what the back-end took"
import json, sys
account = json.load(open(sys.argv[1]))
broken = {tuple(map(int, line.split())) for line in open(sys.argv[2])}
wanted = {(p, n) for p in range(int(sys.argv[3])) for n in range(int(sys.argv[4]))} - broken
told = {(p, n): times for p, n, times in account["told"]}
twice = [key for key, times in told.items() if times != 1]
print(f"{len(told)} records were answered for, {len(wanted - told.keys())} missing, {len(twice)} twice, {len(told.keys() - wanted)} not "
      f"expected; {account['untold']} more were taken without an answer; faults: {account['faults']}")
print("\n".join(account["wrong"][:3]))
sys.exit(bool(account["wrong"] or twice or told.keys() != wanted or not account["faults"]))
PYTHON
}

# sick NAME FRAMING COMPRESSION
sick() {
    local server
    mkdir -p "$work/$1"
    "$support/sick_server" "$work/$1/port" "$work/$1/account" "${SLUICE_SEED:-$$}" "$2" &
    server=$!
    wait_for 30 test -s "$work/$1/port" || die 'the back-end did not start'
    cat >"$work/$1/t.yaml" <<YAML
name: $1
sources:
  lines: { type: file, paths: ["$work/in/*.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [lines], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}" }
  out:
    type: http
    inputs: [parsed]
    url: http://127.0.0.1:$(<"$work/$1/port")/take
    framing: $2
    compression: $3
    concurrency: 8
    timeout: 500ms
    connect_timeout: 400ms
    batch: { bytes: 256KiB }
    retry: { backoff_min: 10ms, backoff_max: 200ms }
    $way
dead_letters: { type: files, dir: dead }
YAML
    echo "$2, $3"
    run_once "$1" || die "$1: $(last_words "$1")"
    kill $server
    wait $server || die "$1: the back-end failed"
    landing "$1"
    account "$1"
    dead_letters "$1" out '400' "$work/broken.ids"
}

sick zipped ndjson gzip
sick array json_array zstd
finish
