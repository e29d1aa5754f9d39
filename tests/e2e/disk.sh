#!/usr/bin/env bash
# disk.sh: the landing disk fails: a foreign file stays untouched; a full disk that later has room; one failed fsync, one failed
# rename. Each record lands once.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 25000 250000) # in each of 4 partitions
fail_io
start_kafka "$(count 1 3)"
make_topic logs 4
fill logs 4 0 "$records"

echo 'a foreign file in the landing folder'
group=foreign nodes foreign
once() { "$sluice" run --once --config "$work/$1/sluice.yaml" "$work/$1/t.yaml" --data-dir "$work/$1" >>"$work/$1.log" 2>&1; }
once foreign || die "foreign: $(tail "$work/foreign.log")"
mkdir -p "$work/foreign/landing/service=cart"
echo 'not ours' | tee "$work/foreign/landing/notes.txt" >"$work/foreign/landing/service=cart/notes.txt"
fill logs 4 "$records" 10
once foreign || die "foreign, again: $(tail "$work/foreign.log")"
for file in notes.txt service=cart/notes.txt; do
    [ "$(cat "$work/foreign/landing/$file")" = 'not ours' ] || die "the foreign $file was touched"
done
"$support/landing_check" --partitions 4 --records $((records + 10)) "$work/foreign/landing"
group=adopted nodes adopted
mkdir "$work/adopted/landing"
echo 'not ours' >"$work/adopted/landing/notes.txt"
if timeout 60 "$sluice" run --once --config "$work/adopted/sluice.yaml" "$work/adopted/t.yaml" --data-dir "$work/adopted" >"$work/adopted.log" 2>&1; then
    die 'a folder with foreign files was adopted as a landing zone (rule C6)'
fi
grep -q "$work/adopted/landing" "$work/adopted.log" || die "the refusal does not name the folder: $(cat "$work/adopted.log")"
[ "$(find "$work/adopted/landing" -type f)" = "$work/adopted/landing/notes.txt" ] || die 'something was written beside the foreign file'

for failure in fsync rename; do
    echo "one failed $failure on the landing disk"
    group=$failure nodes "$failure"
    start_node "$failure" LD_PRELOAD="$work/fail_io.so" FAIL_IO="$failure:$(moment 2 9):fail:landing/.sluice/tmp" FAIL_IO_DONE="$work/failed"
    drained $((4 * (records + 10))) 120 || die "$failure: not drained: $(tail -n 3 "$work/$failure.log")"
    [ -e "$work/failed" ] || die "no $failure failed"
    rm "$work/failed"
    end_node "$failure" TERM
    "$support/landing_check" --partitions 4 --records $((records + 10)) "$work/$failure/landing"
done

if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
    echo 'a full disk: not tried, it needs a mount and so root'
    finish
    exit
fi
echo 'a full landing disk that later has room'
group=full nodes full
mkdir "$work/full/landing"
mount -t tmpfs -o size=3m tmpfs "$work/full/landing"
trap 'umount -l "$work/full/landing" 2>/dev/null || true; leave' EXIT
start_node full
wait_for 60 said full 'no space left' || die "full: nothing is said of it: $(tail -n 3 "$work/full.log")"
mount -o remount,size=600m "$work/full/landing"
drained $((4 * (records + 10))) 120 || die "full: not drained: $(tail -n 3 "$work/full.log")"
end_node full TERM
"$support/landing_check" --partitions 4 --records $((records + 10)) "$work/full/landing"
finish
