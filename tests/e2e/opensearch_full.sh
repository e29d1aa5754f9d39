#!/usr/bin/env bash
# opensearch_full.sh: a real OpenSearch that turns work away: single items of a bulk (its write queue is full), and whole requests
# (its memory for indexing is). Every document is there once in the end, and the landing zone does not wait for it.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

# stat PATH: the sum of a number of all nodes' statistics
stat() {
    curl -s "$url/_nodes/stats/thread_pool,indexing_pressure" | python3 -c 'import json, sys
def dig(tree, path): return dig(tree[path[0]], path[1:]) if path else tree
print(sum(dig(node, sys.argv[1].split("/")) for node in json.load(sys.stdin)["nodes"].values()))' "$1"
}

input 4 "$(count 10000 125000)"

echo 'items turned away: the write queue holds one request'
start_search node.processors=1 thread_pool.write.queue_size=1
# An index a service: parts of a bulk go well while others do not.
search_topology items "$way
    concurrency: 16
    batch: { bytes: 64KiB }" '' 'items-{service}'
run_once items || die "items: $(last_words items)"
rejected=$(stat thread_pool/write/rejected)
[ "$rejected" -gt 0 ] || die 'nothing was turned away: the test proves nothing'
landing items
index 'items-*'
echo "$rejected requests to a shard were turned away"
search down

echo 'requests turned away: 100 KB of memory for indexing'
start_search indexing_pressure.memory.limit=100kb
search_topology requests "$way
    concurrency: 16
    batch: { bytes: 32KiB }"
run_once requests || die "requests: $(last_words requests)"
rejected=$(stat indexing_pressure/memory/total/coordinating_rejections)
[ "$rejected" -gt 0 ] || die 'nothing was turned away: the test proves nothing'
landing requests
index requests
echo "$rejected requests were turned away"
finish
