#!/usr/bin/env bash
# audit.sh: `sluice audit` says good after kill -9 at random moments (files and the spool in), and finds and names whatever is then
# broken by hand: a line removed, doubled or changed, a manifest removed or damaged, a whole flush removed, a letter doubled.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 8000 100000) # in each of 4 files
kills=$(count 6 20)

for p in 0 1 2 3; do "$support/numbered" $p 0 "$records" >"$work/in-$p.ndjson"; done
printf 'no json\n' >>"$work/in-1.ndjson"
printf '{"level":"warn","msg":"the last line has no newline"}' >>"$work/in-2.ndjson"
cat >"$work/files.yaml" <<YAML
name: audited
consumers: 2
commit: { every: 100ms }
sources:
  logs: { type: file, paths: ["$work/in-*.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs], format: json, record: { time: ts } }
  useful: { type: filter, inputs: [parsed], drop_where: { level: debug } }
  some: { type: sample, inputs: [useful], share: 30% }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: 200ms } }
  part: { type: files, inputs: [some], dir: part, compression: none, roll: { bytes: 1MiB, every: 300ms } }
YAML
cat >"$work/made.yaml" <<YAML
name: made
commit: { every: 100ms }
sources:
  made: { type: generate, rate: 20000/s, bad: 1% }
operators:
  parsed: { type: parse, inputs: [made], format: json }
  some: { type: sample, inputs: [parsed], share: 20% }
  kind: { type: route, inputs: [parsed], routes: { bad: { level: [error, fatal] } } }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 1MiB, every: 400ms } }
  both: { type: files, inputs: [kind.bad, some], where: { not: { level: warn } }, dir: both, roll: { bytes: 1MiB, every: 300ms } }
YAML

# audit TOPOLOGY DATA_DIR: prints, and leaves the text in $work/said
audit() { "$sluice" audit "$work/$1.yaml" --data-dir "$work/$2" >"$work/said" 2>&1; }
good() {
    audit "$1" "$2" || { cat "$work/said" >&2; die "$3: a difference where there is none"; }
    grep -q '^audit: good$' "$work/said" || { cat "$work/said" >&2; die "$3: not proved good"; }
}
# finds WHAT PATTERN...: on the broken copy in $work/broken, each pattern is among the differences
finds() {
    local what=$1 pattern
    shift
    if audit files broken; then die "$what: not found"; fi
    for pattern; do grep -qE "$pattern" "$work/said" || { cat "$work/said" >&2; die "$what: no '$pattern' among the differences"; }; done
    echo "found: $what"
}
# A copy of the good data folder, in which files keep their places: sources lie outside it.
broken() {
    rm -rf "$work/broken"
    cp -a "$work/data" "$work/broken"
}
first() { find "$work/broken/$1" -path '*/.sluice' -prune -o -name "$2" -print | sort | head -n 1; }
entry() { find "$work/broken/$1/.sluice/manifest" -name '*.entry' | sort | sed -n "$2p"; }

# ---- good after kills ----
for ((i = 1; i <= kills; i++)); do
    KILL_MS=200 kill_while 1 "$sluice" run "$work/files.yaml" --once --quiet --data-dir "$work/data"
    if grep -rqs . "$work"/data/landing/.sluice/manifest; then good files data "after kill $i"; fi
done
"$sluice" run "$work/files.yaml" --once --quiet --data-dir "$work/data" 2>>"$work/log"
good files data 'at the end'
grep -q 'dead_letters: .* 1 dead letters' "$work/said" || die 'the dead letter was not audited'
"$sluice" audit "$work/files.yaml" --data-dir "$work/data" --json | grep -q '"good":true' || die 'JSON says something else'

for ((i = 1; i <= kills; i++)); do
    KILL_MS=1500 kill_while 1 "$sluice" run "$work/made.yaml" --quiet --data-dir "$work/made"
    if grep -rqs . "$work"/made/landing/.sluice/manifest; then good made made "spool, after kill $i"; fi
done
"$sluice" run "$work/made.yaml" --for 1s --quiet --data-dir "$work/made" 2>>"$work/log"
good made made 'spool, at the end'

# ---- a server that runs is named ----
"$sluice" run "$work/made.yaml" --quiet --data-dir "$work/made" 2>>"$work/log" &
pid=$!
wait_for 20 test -S "$work/made/control.sock" || die 'the server did not start'
if audit made made; then die 'audited while the server ran'; fi
grep -q "in use by process $pid" "$work/said" || { cat "$work/said" >&2; die 'the running server is not named'; }
kill -TERM $pid
wait $pid || die 'the server ended with an error'

# ---- broken by hand ----
broken
sed -i 77d "$(first part '*.ndjson')"
finds 'a line removed' 'damaged: .*/part/' 'lost: sink part, logs .*, offset [0-9]+: not in the files of flush'
broken
sed -i 77p "$(first part '*.ndjson')"
finds 'a line doubled' 'doubled: sink part, .*, line 78: the same record a second time'
broken
sed -i '77s/"p":/"q":/' "$(first part '*.ndjson')"
finds 'a line changed' 'foreign line: sink part, .*, line 77: ' 'lost: sink part, logs .*, offset [0-9]+'
broken
printf 'X' | dd of="$(first landing '*.zst')" bs=1 seek=500 conv=notrunc status=none
finds 'a byte flipped in a compressed file' 'damaged: .*/landing/.*ndjson.zst'
broken
rm "$(entry part 1)"
finds 'a manifest removed' 'orphan: .*/part/.* no manifest names it' 'manifest: .*\.json stands alone'
broken
printf '\377' | dd of="$(entry part 1)" bs=1 seek=60 conv=notrunc status=none
finds 'a manifest damaged' 'damaged: manifest .*\.entry'
broken
number=$(basename "$(entry landing '$')" .entry)
find "$work/broken/landing" -name "$number.*" -delete
finds 'the last flush removed, manifest and files' 'lost: sink landing, logs .* no manifest covers offsets .* records are missing, first at [0-9]+'
broken
find "$work/broken"/dead* -name '*.ndjson.zst' -delete
find "$work/broken"/dead* -path '*/manifest/*' -type f -delete
finds 'the dead letters removed' 'lost: sink dead_letters, .* 1 dead letters are missing'
broken
cp "$(entry part 1)" "$(dirname "$(entry part 1)")/zz-0001-00000077.entry"
finds 'a manifest twice' 'doubled: sink part, .*delivered twice' 'doubled: two manifests name'

broken
rm "$(first landing '*.zst')"
echo 'mine' >"$work/broken/landing/README"
audit files broken || { cat "$work/said" >&2; die 'retention and a foreign file are no differences'; }
grep -q 'expired: flush' "$work/said" || die 'an expired file is not reported'
grep -q 'foreign: .*/landing/README is not ours' "$work/said" || die 'a foreign file is not reported'
[ "$(cat "$work/broken/landing/README")" = mine ] || die 'the foreign file was touched'
mv "$work/in-0.ndjson" "$work/old-0.ndjson"
good files data 'a renamed source'
rm "$work/old-0.ndjson"
audit files data || { cat "$work/said" >&2; die 'a source that is gone is no difference'; }
grep -q 'no longer there; its records were not read again' "$work/said" || die 'the missing source is not reported'
finish
