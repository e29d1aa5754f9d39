#!/usr/bin/env bash
# opensearch_kills.sh: kill -9 of sluice at random moments, kill -9 of OpenSearch in the middle, and an OpenSearch that stands still for
# 20 s: every document is there once, under its id; the landing zone is complete while OpenSearch is away.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

# shellcheck disable=SC2119 # without settings
start_search
input 4 "$(count 10000 125000)"

echo 'kill -9 of sluice at random moments'
search_topology killed "$way
    compression: gzip"
KILL_MS=$(count 800 4000) kill_while "$(count 6 20)" "$sluice" run --once --data-dir "$work/killed/data" "$work/killed/t.yaml"
run_once killed || die "killed: $(last_words killed)"
landing killed
index killed

# while_away NAME: with OpenSearch away, the second half of the input comes, and lands
while_away() {
    half "$1" SECOND
    wait_for 60 landed "$1" || die "$1: the landing zone waits for the index: $(cat "$work/$1/landed")"
}
# afterwards NAME: with OpenSearch back, everything arrives
afterwards() {
    wait_for 120 counted "$1" || die "$1: $(cat "$work/found"); $(last_words "$1")"
    end_run
    landing "$1"
    index "$1"
}
begin() {
    follow=1 search_topology "$@"
    half "$1" FIRST
    start_run "$1"
    wait_for 60 some "$1" || die "$1: nothing arrives: $(last_words "$1")"
}

echo 'kill -9 of OpenSearch in the middle'
begin back
search kill
while_away back
search start
search wait 600
afterwards back

echo 'OpenSearch stands still for 20 s'
begin still "$way
    timeout: 3s
    connect_timeout: 1s"
search pause
since=$SECONDS
while_away still
pause_ms $(((20 - (SECONDS - since)) * 1000)) # what is tested, not what is waited for
search resume
afterwards still
finish
