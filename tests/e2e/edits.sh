#!/usr/bin/env bash
# edits.sh: set, remove and rename make of awkward records what a second opinion makes of them; and nothing that redact masks is found
# in anything that the process writes: the masked sink, the dead letters of stages before and behind, logs, metrics, status.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 4000 100000)
seed=${SLUICE_SEED:-$RANDOM}
echo "seed $seed"

# ---- set, remove, rename ----
"$support/edits_check" make "$records" "$seed" >"$work/in.ndjson"
declare -A fields=(
    [set]="{ a: 1, user.email: 'x\"y', user.deep.er: null, 'x\\.y': [1.5, true] }"
    [remove]="[b, user.email, user.deep.er, 'x\\.y']"
    [rename]="{ a: A, user.email: user.mail, b: user.deep.er }"
)
for operation in set remove rename; do
    cat >"$work/$operation.yaml" <<YAML
name: $operation
sources: { in: { type: stdin } }
operators:
  parsed: { type: parse, inputs: [in], format: json }
  changed: { type: $operation, inputs: [parsed], fields: ${fields[$operation]} }
sinks: { out: { type: stdout, inputs: [changed] } }
YAML
    "$sluice" run --once --data-dir "$work/data-$operation" "$work/$operation.yaml" <"$work/in.ndjson" >"$work/$operation.out" 2>"$work/$operation.log" ||
        die "$operation: $(tail -3 "$work/$operation.log")"
    "$support/edits_check" same "$operation" "$work/in.ndjson" "$work/$operation.out" || die "$operation differs (seed $seed)"
done

# ---- all of them, one behind the other ----
"$sluice" test "$support/topologies/changes/topology.yaml" >"$work/test.out" || die "$(cat "$work/test.out")"

# ---- redact ----
for needle in "bob@example.com" "4111111111111111" "S3CRET-1234"; do
    rm -rf "$work/masked" && mkdir "$work/masked"
    "$support/edits_check" make "$records" "$seed" "$needle" >"$work/needles.ndjson"
    { # what no stage can mask: cut short, and no JSON at all
        printf '{"msg":"%s"\n' "$needle"
        printf 'plain %s\n' "$needle"
        printf '{"service":"lost","msg":"%s","user":{"email":"%s"}}\n' "$needle" "$needle"
        printf '{"service":"pay","secret":"%s","secret":{"x":["%s"]}}\n' "$needle" "$needle"
    } >>"$work/needles.ndjson"
    printf 'service,team\npay,money\n' >"$work/teams.csv"
    cat >"$work/masked.yaml" <<YAML
name: masked
sources: { logs: { type: file, paths: ["$work/needles.ndjson"], read: once } }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
  known: { type: enrich, inputs: [parsed], table: teams.csv, key: service, fields: { team: team }, missing: dead }
  masked: { type: redact, inputs: [parsed], fields: [secret], detect: [card, email, token], patterns: ['S3CRET-[0-9]+'] }
  behind: { type: enrich, inputs: [masked], table: teams.csv, key: service, fields: { team: team }, missing: dead }
sinks:
  shown: { type: files, inputs: [masked], dir: shown, compression: none, roll: { every: 200ms } }
  few: { type: blackhole, inputs: [behind] }
  none: { type: blackhole, inputs: [known] }
dead_letters: { type: files, dir: dead, compression: none }
YAML
    "$sluice" run --once --data-dir "$work/masked" "$work/masked.yaml" >"$work/masked/stdout" 2>"$work/masked/stderr" ||
        die "redact: $(tail -3 "$work/masked/stderr")"
    mapfile -t files < <(find "$work/masked" -type f)
    "$support/edits_check" hidden "$needle" "${files[@]}" || die "what redact masks was found (seed $seed)"
    find "$work/masked/shown" -name '*.ndjson' -exec cat {} + >"$work/shown"
    [ "$(wc -l <"$work/shown")" = $((records + 2)) ] || die "$(wc -l <"$work/shown") records of $((records + 2)) came out"
    grep -q '[*][*][*]' "$work/shown" || die "nothing was masked"
    find "$work/masked/dead" -name '*.ndjson' -exec cat {} + >"$work/letters"
    [ "$(grep -c '"withheld"' "$work/letters")" = 2 ] || die "two records are no JSON; $(grep -c '"withheld"' "$work/letters") were withheld"
    grep -q '"stage":"known".*"masked":true' "$work/letters" || die "no letter of a stage beside redact is masked"
    grep -q '"stage":"behind".*"masked":true' "$work/letters" || die "no letter of a stage behind redact is masked"
done
finish
