#!/usr/bin/env bash
# zombie.sh: a process is stopped between its files and its commit for longer than its session; another takes its partitions and goes
# on; then the first wakes: its commit is refused, its temporaries go, it joins again, and each record is there once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 25000 250000) # in each of 8 partitions
rounds=$(count 2 12)
fail_io
start_kafka "$(count 1 3)"
make_topic logs 8
seconds=$(count 40 300)
trickle logs 8 0 "$records" "$seconds" &
producer=$!
consumers=1
nodes a b

stopped() { [ -e "$work/stopped" ]; }
took_over() { [ "$(told b count)" = 8 ]; }
start_node b
for ((i = 1; i <= rounds; i++)); do
    # In turn: while its files become durable, before the commit; and after the commit, before its files get their names.
    operation=fsync
    ((i % 2)) || operation=rename
    rm -f "$work/stopped"
    start_node a LD_PRELOAD="$work/fail_io.so" FAIL_IO="$operation:$(moment 1 40):stop:.sluice/tmp" FAIL_IO_DONE="$work/stopped"
    wait_for 60 stopped || die "round $i: no $operation to stop at"
    wait_for 60 took_over || die "round $i: b did not take the partitions over: $(tail -n 3 "$work/b.log")"
    before=$(told b committed)
    went_on() { [ "$(told b committed)" -gt "$before" ]; }
    wait_for 30 went_on || die "round $i: b does not commit: $(tail -n 3 "$work/b.log")"
    kill -CONT "${node_pid[a]}"
    joined() { [ "$(told a count)" -gt 0 ] && [ "$(told b count)" -gt 0 ]; }
    wait_for 60 joined || die "round $i: a did not come back: $(tail -n 3 "$work/a.log")"
    [ $operation = rename ] || wait_for 30 said a 'commit failed|fenced|no longer' || die "round $i: a was not refused: $(tail -n 5 "$work/a.log")"
    echo "round $i: stopped at a $operation, both are members again"
    end_node a TERM
done
start_node a
wait $producer || die 'the producer failed'
drained $((8 * records)) "$(count 60 300)" || die "not drained: $(tail -n 3 "$work"/?.log)"
end_node a TERM
end_node b TERM
"$support/landing_check" --partitions 8 --records "$records" "$work"/{a,b}/landing
no_temporaries "$work"/{a,b}/landing
finish
