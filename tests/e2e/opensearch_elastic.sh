#!/usr/bin/env bash
# opensearch_elastic.sh: the same sink before an Elasticsearch 7.17: items that are turned away, fields that do not fit the mapping, kill -9
# of sluice, with ids and `create`: every document is there once, the others are dead letters.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

export ELASTICSEARCH=1
start_search node.processors=1 thread_pool.write.queue_size=1
curl -s "$url" | grep -q '"number" : "7.17' || die 'this is no Elasticsearch'
input 4 "$(count 5000 50000)"
break_some 971
search_topology elastic "$way
    action: create
    compression: gzip
    batch: { bytes: 64KiB }" '' 'elastic-{service}'
KILL_MS=$(count 800 4000) kill_while "$(count 3 10)" "$sluice" run --once --data-dir "$work/elastic/data" "$work/elastic/t.yaml"
run_once elastic || die "elastic: $(last_words elastic)"
landing elastic
index 'elastic-*' --but "$work/broken.ids"
# A letter may come again after a kill; each record that was refused has one.
dead_letters elastic search 'mapper_parsing_exception.*status' "$work/broken.ids" again
finish
