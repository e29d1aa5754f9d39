# shellcheck shell=bash
# backend.sh - what the scripts beside it share: each runs a real server for tests, on the loopback
#
# A script sets name, port, count (of processes) and ready_line (in the log of a process that is ready), defines
#   prepare       gets the program; exits 77 where it cannot be had
#   configure N   fills $dir/N, the folder in which process N runs (1..$count)
#   launch N      called in that folder: executes the server
#   address N     prints where its clients go
# and, where it keeps anything outside its folder, cleanup. It ends with: main "$@". Commands of its own go into functions named
# command_NAME.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
: "${name:?}" "${port:?}" "${count:?}" "${ready_line:?}"

self=$(readlink -f "$0")
home=$(dirname "$self")
dir=${TMPDIR:-/tmp}/$name-test-$UID

fail() { echo "$name: $*" >&2; exit 1; }
usage() { sed -n '3,/^$/s/^# \?//p' "$self" >&2; exit 2; }
busy() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
each() { for n in $(seq "$count"); do "$1" "$n"; done; }
addresses() { each address | paste -sd,; }
stamp() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null; } # its start time: no later process with this number has it
threads() { awk '/^State/ { z = $2 == "Z" } /^Threads/ { print $2 - z }' "/proc/$1/status" 2>/dev/null; }
runs() { # N; a dying process counts until it has left its ports
    local pid time
    read -r pid time 2>/dev/null <"$dir/$1/pid" && [ "$(stamp "$pid")" = "$time" ] && [ "$(threads "$pid")" != 0 ]
}
ended() { while runs "$1"; do sleep 0.02; done; rm "$dir/$1/pid"; }
signal() { runs "$2" || fail "process $2 does not run"; kill "-$1" "$(cut -d' ' -f1 "$dir/$2/pid")"; }

# java_with COORDINATES... - sets java to a command with these artifacts (see jars) as its class path. The archive of
# loaded classes halves the start; it is made once, by a run of the server for which BACKEND_TRAINING is set.
java_with() {
    libs=$("$home/jars" "$name" "$@") || exit
    [ "$(type -t compile)" != function ] || compile
    java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xlog:disable -cp "$(printf '%s:' "$libs"/*.jar)")
    [ -z "${BACKEND_TRAINING:-}" ] || return 0
    exec 8>"$libs/lock"
    flock 8
    [ -f "$libs/classes.jsa" ] || train "$libs/classes.jsa" 8>&- || touch "$libs/classes.jsa" # go without
    exec 8>&-
    java+=("-XX:SharedArchiveFile=$libs/classes.jsa")
}

run_java() { # execute the server
    exec setsid "${java[@]}" ${BACKEND_TRAINING:+"-XX:ArchiveClassesAtExit=$BACKEND_TRAINING"} "$@"
}

train() { # ARCHIVE
    local place done=1
    place=$(mktemp -d)
    if BACKEND_TRAINING=$1.new "$self" up --dir "$place/run" --port 0; then
        "$self" stop --dir "$place/run" 1 && mv "$1.new" "$1" && done=0
    fi
    "$self" down --dir "$place/run"
    rmdir "$place"
    return $done
} >/dev/null

start() { # N
    [ -d "$dir/$1" ] || fail "no process $1 in $dir"
    ! runs "$1" || fail "process $1 runs already"
    cd "$dir/$1"
    : >log
    launch "$1" </dev/null >>log 2>&1 &
    echo "$! $(stamp $!)" >pid
}

ready() { # SECONDS
    local end=$((SECONDS + $1)) n
    for n in $(seq "$count"); do
        [ -f "$dir/$n/pid" ] || continue
        until grep -q "$ready_line" "$dir/$n/log"; do
            runs "$n" || fail "process $n ended: $(tail -n 5 "$dir/$n/log")"
            [ $SECONDS -lt $end ] || fail "process $n is not ready after $1 s; log: $dir/$n/log"
            sleep 0.05
        done
    done
}

up() {
    [ ! -e "$dir" ] || fail "$dir exists: $name down first"
    [ "$port" != 0 ] || while port=$((20000 + RANDOM % 10000)) && busy $port; do :; done
    ! busy "$port" || fail "port $port is taken"
    prepare
    mkdir -p "$dir"
    dir=$(readlink -f "$dir")
    options=("$@")
    declare -p port count options >"$dir/state"
    for n in $(seq "$count"); do mkdir "$dir/$n" && configure "$n"; done
    each start
    ready 120
    addresses
}

down() {
    [ -f "$dir/state" ] || return 0
    for n in $(seq "$count"); do ! runs "$n" || { signal KILL "$n"; ended "$n"; }; done
    [ "$(type -t cleanup)" != function ] || cleanup
    rm -r "$dir"
}

main() {
    [ $# -gt 0 ] || usage
    local command=$1
    shift
    while [[ ${1:-} =~ ^--(dir|port|brokers)$ ]]; do
        [ -n "${2:-}" ] || usage
        declare -g "${BASH_REMATCH[1]/brokers/count}=$2"
        shift 2
    done
    # shellcheck source=/dev/null
    [ "$command" = up ] || [ ! -f "$dir/state" ] || { dir=$(readlink -f "$dir"); . "$dir/state"; }
    case $command in
    up | down) "$command" "$@" ;;
    wait) ready "${1:-120}" ;;
    address) addresses ;;
    start) prepare; start "${1:-1}" ;;
    stop) signal TERM "${1:-1}"; ended "${1:-1}" ;;
    kill) signal KILL "${1:-1}"; ended "${1:-1}" ;;
    pause) signal STOP "${1:-1}" ;;
    resume) signal CONT "${1:-1}" ;;
    *) [ "$(type -t "command_$command")" = function ] || usage; "command_$command" "$@" ;;
    esac
}
