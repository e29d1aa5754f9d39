# shellcheck shell=bash
# lib.sh: what the end-to-end scripts share: a work folder, the program, seeds, kills at random moments.
# SPDX-License-Identifier: Apache-2.0
#
# SLUICE: the program under test (default: the newest of build/release, build/dev). SLUICE_SEED: of random moments. FULL=1: the
# issue's counts. Exit 77: cannot be had here (reason on the last line).
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
support=$root/tests/support
sluice=${SLUICE:-}
if [ -z "$sluice" ]; then
    for build in release dev; do
        [ -x "$root/build/$build/runtime/main/sluice" ] && sluice=$root/build/$build/runtime/main/sluice && break
    done
fi
RANDOM=$((${SLUICE_SEED:-$$} % 32768))
name=$(basename "$0" .sh)
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-$name-XXXXXX")

die() {
    echo "$name: FAILED: $* (work folder kept: $work)" >&2
    keep=1
    exit 1
}
skip() {
    echo "$name: skipped: $*"
    exit 77
}
count() { if [ "${FULL:-0}" = 1 ]; then echo "$2"; else echo "$1"; fi; }
finish() {
    done=1
    echo "$name: passed"
}
# shellcheck disable=SC2329 # called by the trap
leave() {
    local status=$?
    trap - EXIT
    [ "$(type -t stop_backends)" != function ] || stop_backends
    # shellcheck disable=SC2046
    [ -z "$(jobs -p)" ] || kill -KILL $(jobs -p) 2>/dev/null || true
    if [ -n "${done:-}" ] && [ -z "${keep:-}" ]; then rm -rf "$work"; fi
    if [ "$status" = 0 ] && [ -z "${done:-}" ]; then status=1; fi
    exit "$status"
}
trap leave EXIT
[ -x "$sluice" ] || die "no sluice found: build first, or set SLUICE"

# now_ms, and a moment between FROM and TO milliseconds from now
moment() { echo $(($1 + RANDOM % ($2 - $1 + 1))); }

# A pause that no condition can replace: the random moment of a kill itself.
pause_ms() { read -rt "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" <> <(:) || true; }

# kill_while COUNT COMMAND...: starts the command COUNT times, each time killing it with -9 after a random while. Ends early if it
# ended by itself. Prints the moments.
kill_while() {
    local kills=$1 i pid ms
    shift
    for ((i = 1; i <= kills; i++)); do
        ms=$(moment 20 "${KILL_MS:-600}")
        "$@" >>"$work/log" 2>&1 &
        pid=$!
        pause_ms "$ms"
        if ! kill -KILL $pid 2>/dev/null; then
            wait $pid || { tail -n 5 "$work/log" >&2; die "run $i ended by itself with an error"; }
            echo "run $i ended by itself before its kill"
            return 0
        fi
        wait $pid 2>/dev/null || true
        printf 'kill %d after %d ms\n' "$i" "$ms"
    done
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails after that long.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        pause_ms 50
    done
}

# fail_io: makes $work/fail_io.so; see tests/support/fail_io.c
fail_io() {
    "${CC:-cc}" -O1 -shared -fPIC -o "$work/fail_io.so" "$support/fail_io.c" -ldl || die 'fail_io.so was not built'
}
