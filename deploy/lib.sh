# lib.sh: what quickstart, install and tests/run share: Debian packages (only what is missing), builds with progress, times.
# Sourced by bash; needs $root, the repository's folder.
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154  # lists for those who source this; root is theirs

build_packages=(git cmake ninja-build gcc g++ pkg-config librdkafka-dev libuv1-dev libzstd-dev libxxhash-dev libsimdjson-dev
    libfyaml-dev libmicrohttpd-dev libpcre2-dev zlib1g-dev libmimalloc-dev libcurl4-openssl-dev libluajit-5.1-dev
    libprotobuf-c-dev protobuf-c-compiler libssl-dev)
run_packages=(librdkafka1 libuv1 libzstd1 libxxhash0 libsimdjson14 libfyaml0 libmicrohttpd12 libpcre2-8-0 zlib1g libmimalloc2.0 libcurl4
    libluajit-5.1-2 libprotobuf-c1 libssl3)
test_packages=(ca-certificates libcmocka-dev python3 python3-venv python3-yaml kcat openjdk-17-jdk-headless maven golang-go
    zstd curl openssl procps protobuf-compiler iproute2 shellcheck rsyslog rsyslog-openssl clickhouse-server goaccess
    python3-pip nginx-light)
fuzz_packages=(clang libclang-rt-14-dev)

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    ink_bold=$'\033[1m' ink_red=$'\033[31m' ink_off=$'\033[0m'
else
    ink_bold='' ink_red='' ink_off=''
fi

say() { printf '%s%s%s\n' "$ink_bold" "$*" "$ink_off" >&2; }
die() {
    printf '%s%s:%s %s\n' "$ink_red" "${0##*/}" "$ink_off" "$*" >&2
    exit 1
}

say_usage() {
    printf '%s%s:%s %s; see --help\n' "$ink_red" "${0##*/}" "$ink_off" "$*" >&2
    exit 2
}
interrupted() {
    services_may
    printf '\n%s: interrupted; the same command goes on from here\n' "${0##*/}" >&2
    exit 130
}

# Everything that is built lies in build/.
writable_root() {
    mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ] ||
        die "cannot write to $root/build, where everything is built: clone the repository into a folder of yours"
}

# packages_missing PACKAGE...: prints those that are not installed, one a line.
packages_missing() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || printf '%s\n' "$package"
    done
}

# A lock that apt holds (a machine that has just booted updates itself) is waited for, not failed on.
apt_quiet() {
    local prefix=()
    [ "$(id -u)" -eq 0 ] || prefix=(sudo -n)
    "${prefix[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends "$@"
}

# Servers that tests start by themselves (nginx, rsyslog, ClickHouse) are not to start as services of this host when they are installed.
services_stay() {
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ] || [ "$(id -u)" -ne 0 ]; then policy=''; return 0; fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
services_may() { [ -z "${policy:-}" ] || rm -f "$policy"; }

# packages_need WHY PACKAGE...: installs what is missing, or says which command would.
packages_need() {
    local why=$1 missing
    shift
    command -v dpkg-query >/dev/null || die "this is no Debian; install the equivalents of: $*"
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        die "packages are missing $why, and only root may install them. As root: apt-get install ${missing[*]}"
    fi
    say "installing $why: ${missing[*]}"
    mkdir -p "$root/build"
    services_stay
    # An interrupted dpkg is finished first: it refuses all work otherwise.
    if ! { apt_quiet update && apt_quiet install "${missing[@]}"; } >"$root/build/apt.log" 2>&1; then
        local prefix=()
        [ "$(id -u)" -eq 0 ] || prefix=(sudo -n)
        if ! { "${prefix[@]}" dpkg --configure -a && apt_quiet -f install "${missing[@]}"; } >>"$root/build/apt.log" 2>&1; then
            services_may
            grep -E '^(E|W|Err):' "$root/build/apt.log" | sort -u | head -n 8 >&2
            die "apt could not install ${missing[*]} (is there a way to the network?); the whole story is in build/apt.log"
        fi
    fi
    services_may
}

# Ninja's "[12/80] ..." lines as one moving line on a terminal, every tenth part elsewhere.
build_progress() {
    local line done_count all_count tenth=-1
    while IFS= read -r line; do
        [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
        done_count=${BASH_REMATCH[1]} all_count=${BASH_REMATCH[2]}
        if [ -t 2 ]; then
            printf '\r  %s of %s' "$done_count" "$all_count" >&2
        elif [ $((done_count * 10 / all_count)) -gt "$tenth" ]; then
            tenth=$((done_count * 10 / all_count))
            printf '  %s of %s\n' "$done_count" "$all_count" >&2
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# build_preset PRESET [TARGET...]: configures and builds with all cores; the log is kept beside the build.
build_preset() {
    local preset=$1 log="$root/build/$1.log" launcher=() targets=()
    shift
    [ $# -eq 0 ] || targets=(--target "$@")
    if command -v ccache >/dev/null; then
        launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    fi
    mkdir -p "$root/build"
    say "building $preset (log: build/$preset.log)"
    if ! (cd "$root" && cmake --preset "$preset" "${launcher[@]}") >"$log" 2>&1; then
        # A configuration that was interrupted, or made elsewhere, is made anew once.
        rm -rf "$root/build/$preset/CMakeCache.txt" "$root/build/$preset/CMakeFiles"
        if ! (cd "$root" && cmake --preset "$preset" "${launcher[@]}") >"$log" 2>&1; then
            tail -n 30 "$log" >&2
            return 1
        fi
    fi
    if ! (set -o pipefail; cmake --build "$root/build/$preset" "${targets[@]}" 2>&1 | tee -a "$log" | build_progress); then
        grep -A 20 -E 'FAILED|error:' "$log" | head -n 40 >&2
        return 1
    fi
}
