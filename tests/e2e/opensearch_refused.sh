#!/usr/bin/env bash
# opensearch_refused.sh: documents that a real OpenSearch will never take: fields that do not fit the mapping, and documents above its
# http.max_content_length. Each is a dead letter with the back-end's reason; all the others arrive, and all are in the landing zone.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

start_search http.max_content_length=256kb
input 4 "$(count 10000 125000)"

echo 'a field that does not fit the mapping'
break_some 97
search_topology conflict
run_once conflict || die "conflict: $(last_words conflict)"
landing conflict
index conflict --but "$work/broken.ids"
dead_letters conflict search 'mapper_parsing_exception.*status' "$work/broken.ids"

echo 'documents that are too large'
input 4 "$(count 2000 20000)"
for p in 0 1 2 3; do
    awk -v p=$p -v list="$work/large.ids" 'BEGIN { for (pad = "x"; length(pad) < 300000;) pad = pad pad }
        NR % 499 == 7 { sub(/"msg":"/, "\"msg\":\"" pad); print p, NR - 1 >>list } { print }' "$work/in/$p.ndjson" >"$work/in/new"
    mv "$work/in/new" "$work/in/$p.ndjson"
done
search_topology large
run_once large || die "large: $(last_words large)"
landing large
index large --but "$work/large.ids"
dead_letters large search '413|too large' "$work/large.ids"
finish
