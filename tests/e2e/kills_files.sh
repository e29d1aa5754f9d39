#!/usr/bin/env bash
# kills_files.sh: files in, landing zone out, kill -9 at random moments: each record lands once, in order.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 50000 250000) # in each of 8 files
kills=$(count 8 20)

for p in 0 1 2 3 4 5 6 7; do "$support/numbered" $p 0 "$records" >"$work/in-$p.ndjson"; done
cat >"$work/t.yaml" <<YAML
name: kills
consumers: 2
commit: { every: 100ms }
sources:
  logs: { type: file, paths: ["$work/in-*.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: 300ms } }
  all: { type: files, inputs: [logs], dir: all, compression: none, roll: { bytes: 8MiB, every: 1s } }
YAML

KILL_MS=${KILL_MS:-$(count 200 900)} kill_while "$kills" "$sluice" run "$work/t.yaml" --once --quiet --data-dir "$work/data"
"$sluice" run "$work/t.yaml" --once --data-dir "$work/data" 2>&1 | tail -n 8
"$support/landing_check" --partitions 8 --records "$records" "$work/data/landing"
"$support/landing_check" --partitions 8 --records "$records" "$work/data/all"
# A start spares the temporaries of the one before it (their commit may be unseen yet); the next one has nothing to spare.
"$sluice" run "$work/t.yaml" --once --quiet --data-dir "$work/data"
[ -z "$(find "$work/data/landing/.sluice/tmp" -type f)" ] || die 'temporaries are left over'
finish
