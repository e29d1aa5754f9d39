#!/usr/bin/env bash
# check_house.sh: the house rules that a machine can hold; each finding is one line: FILE[:LINE]: what is wrong.
#   check_house.sh [ROOT]        checks a working tree (tracked and new files)
#   check_house.sh --self-test   breaks every rule once in a scratch tree and looks whether it is found
# SPDX-License-Identifier: Apache-2.0
set -uo pipefail

findings=0
found() {
    printf '%s\n' "$1"
    findings=$((findings + 1))
}

# Tracked files and those that wait to be; a source archive without git is walked.
files() {
    if git -C "$root" rev-parse --git-dir >/dev/null 2>&1; then
        git -C "$root" ls-files -co --exclude-standard
    else
        (cd "$root" && find . -type f -not -path './build*/*' -not -path './sluice-data/*' | sed 's|^\./||')
    fi | sort | while IFS= read -r file; do [ ! -f "$root/$file" ] || printf '%s\n' "$file"; done
}

# matching REGEX: names from $list
matching() { grep -E "$1" <<<"$list"; }

# lines REGEX MESSAGE NAME...: a finding for each line of the named files that matches, but for those that match $except.
except=''
lines() {
    local regex=$1 message=$2 line
    shift 2
    [ $# -gt 0 ] || return 0
    while IFS= read -r line; do
        found "$(cut -d: -f1,2 <<<"$line"): $message: $(cut -d: -f3- <<<"$line" | sed 's/^ *//' | cut -c1-100)"
    done < <(cd "$root" && grep -nHE -- "$regex" "$@" | grep -vE -- "${except:-^$}")
}

is_script() { head -n 1 "$root/$1" | grep -aqE '^#!.*\b(bash|sh|python3)\b'; }

rule_top_level() {
    local entry
    while IFS= read -r entry; do
        case $entry in
        sampling | runtime | operators | topologies | tests | deploy | docs | .ci) ;;
        CMakeLists.txt | CMakePresets.json | README.md | LICENSE | .clang-format | .clang-tidy | .gitignore) ;;
        *) found "$entry: not among the top-level entries of the house (sampling runtime operators topologies tests deploy docs)" ;;
        esac
    done < <(cut -d/ -f1 <<<"$list" | sort -u)
}

rule_spdx() {
    local file count
    while IFS= read -r file; do
        # Corpora and test inputs are data, byte for byte.
        case $file in tests/fuzz/corpus/* | tests/*/data/* | tests/*/golden/*) continue ;; esac
        case $file in
        *.c | *.h | *.cc | *.sh | *.py | *.yaml | *.yml | *.cmake | CMakeLists.txt | */CMakeLists.txt | *Dockerfile | *.service) ;;
        *) is_script "$file" || continue ;;
        esac
        count=$(grep -cE '^[ /*#]*SPDX-License-Identifier: Apache-2\.0( \*/)?$' "$root/$file")
        [ "$count" = 1 ] || found "$file: $count SPDX lines; exactly one \"SPDX-License-Identifier: Apache-2.0\" belongs there"
    done <<<"$list"
}

rule_head() {
    local file head
    while IFS= read -r file; do
        head=$(head -c 200 "$root/$file" | head -n 1)
        [[ $head == "/* ${file##*/}: "* ]] || found "$file:1: the head comment must begin with \"/* ${file##*/}: \" and say the purpose"
    done < <(matching '\.(c|h|cc)$')
}

rule_notes() {
    local names
    # This file has to name what it looks for.
    mapfile -t names < <(matching '\.(c|h|cc|sh|py|yaml|md|cmake)$|CMakeLists\.txt$' | grep -v '^tests/unit/check_house\.sh$')
    lines '\b(TODO|FIXME|XXX)\b' 'do it or drop it' "${names[@]}"
}

rule_includes() {
    local names
    mapfile -t names < <(matching '\.(c|h|cc)$')
    lines '^#include "(\.\.?/|[^/"]+")' 'includes are written from the root' "${names[@]}"
    mapfile -t names < <(matching '^sampling/.*\.(c|h)$')
    lines '^#include "(runtime|operators|tests)/' 'sampling includes only itself' "${names[@]}"
    mapfile -t names < <(matching '^runtime/.*\.(c|h|cc)$' | grep -v '^runtime/main/')
    lines '^#include "(operators|tests)/' 'runtime knows no operator' "${names[@]}"
    mapfile -t names < <(matching '^operators/.*\.(c|h|cc)$')
    lines '^#include "tests/' 'operators include no test' "${names[@]}"
    mapfile -t names < <(matching '^(sampling|runtime|operators)/.*\.(c|h|cc)$' | grep -v '^runtime/kafka/')
    lines '^#include <librdkafka/' 'only runtime/kafka includes librdkafka' "${names[@]}"
    mapfile -t names < <(matching '^(sampling|operators)/.*\.(c|h|cc)$')
    lines '^#include <(uv|curl/[a-z]+)\.h>' 'only runtime includes uv and curl' "${names[@]}"
}

rule_types() {
    local names
    mapfile -t names < <(matching '^(sampling|runtime|operators)/.*\.(c|h)$')
    lines '^ *typedef +(struct|union|enum)\b' 'plain struct names, no typedef' "${names[@]}"
}

rule_pure() {
    local names
    mapfile -t names < <(matching '^sampling/.*\.(c|h)$')
    lines '\b(malloc|calloc|realloc|free|clock_gettime|time|rand|random|printf|fopen|pthread_[a-z_]+)\(' \
        'sampling is pure: no memory, clock, chance, thread or file' "${names[@]}"
}

rule_sleep() {
    local names
    # A loop that looks for a condition may pause between two looks, and says so.
    except='(# poll|/\* poll \*/)$'
    mapfile -t names < <(matching '^tests/.*\.(c|h|cc)$')
    lines '\b(sleep|usleep|nanosleep|clock_nanosleep) *\(' 'no sleep synchronises a test; the pause of a polling loop is marked /* poll */' "${names[@]}"
    mapfile -t names < <(matching '^tests/.*\.(sh|py)$' | grep -vE '^tests/(support/|unit/check_house\.sh$)')
    lines '^[^#]*\bsleep\b' 'no sleep synchronises a test; the pause of a polling loop is marked # poll' "${names[@]}"
    except=''
}

check() {
    root=$1
    list=$(files)
    [ -n "$list" ] || { printf 'no files in %s\n' "$root"; return 1; }
    rule_top_level
    rule_spdx
    rule_head
    rule_notes
    rule_includes
    rule_types
    rule_pure
    rule_sleep
    [ "$findings" -eq 0 ] || printf '%d findings\n' "$findings"
    [ "$findings" -eq 0 ]
}

# ---- the rules can fail ----

spdx='SPDX-License-Identifier: Apache-2.0'
put() { # FILE TEXT: a file below the scratch tree
    mkdir -p "$scratch/$(dirname "$1")"
    printf '%b' "$2" >"$scratch/$1"
}

# breaks WHAT FILE TEXT: a tree with this one file more must be refused, naming it; without it, it must pass.
breaks() {
    local out
    put "$2" "$3"
    if out=$("$0" "$scratch"); then
        printf 'not found: %s (%s)\n' "$1" "$2"
        missed=$((missed + 1))
    elif ! grep -qF "${2%%/*}" <<<"$out" || [ "$(tail -n 1 <<<"$out")" != '1 findings' ]; then
        printf 'wrongly told: %s:\n%s\n' "$1" "$out"
        missed=$((missed + 1))
    fi
    rm "$scratch/$2"
    "$0" "$scratch" >/dev/null || { printf 'a good tree is refused\n'; missed=$((missed + 1)); }
}

self_test() {
    local head="/* a.c: a file.\n * $spdx */\n"
    scratch=$(mktemp -d) missed=0
    trap 'rm -rf "$scratch"' EXIT
    put sampling/good.h "/* good.h: fine.\n * $spdx */\n#include <stdint.h>\n"
    put tests/e2e/good.sh "#!/bin/sh\n# $spdx\nwhile ! ready; do sleep 0.1; done # poll\n"
    put README.md '# fine\n'
    breaks 'top-level entry' extra/a.md 'x\n'
    breaks 'no SPDX line' operators/a.c '/* a.c: a file. */\n'
    breaks 'two SPDX lines' operators/a.c "$head/* $spdx */\n"
    breaks 'no SPDX line in YAML' topologies/a/topology.yaml 'name: a\n'
    breaks 'no SPDX line in a script without a suffix' tests/walk '#!/usr/bin/env bash\ntrue\n'
    breaks 'no SPDX line in CMake' operators/CMakeLists.txt 'add_library(a)\n'
    breaks 'head without its name' operators/a.c "/* b.c: another.\n * $spdx */\n"
    breaks 'a note left' operators/a.c "$head/* TO""DO later */\n"
    breaks 'relative include' operators/a.c "$head#include \"../b.h\"\n"
    breaks 'include without a folder' operators/a.c "$head#include \"b.h\"\n"
    breaks 'sampling includes runtime' sampling/a.c "$head#include \"runtime/base/err.h\"\n"
    breaks 'runtime includes operators' runtime/cli/a.c "$head#include \"operators/registry.h\"\n"
    breaks 'librdkafka outside' operators/a.c "$head#include <librdkafka/rdkafka.h>\n"
    breaks 'uv in an operator' operators/a.c "$head#include <uv.h>\n"
    breaks 'typedef' runtime/base/a.c "${head}typedef struct a a_t;\n"
    breaks 'malloc in sampling' sampling/a.c "${head}void *x = malloc(1);\n"
    breaks 'sleep in C' tests/unit/a.c "${head}usleep(5);\n"
    breaks 'sleep in a script' tests/e2e/a.sh "#!/bin/sh\n# $spdx\nsleep 5\n"
    put runtime/main/a.c "$head#include \"operators/registry.h\"\n"
    "$0" "$scratch" >/dev/null || { printf 'runtime/main may include operators\n'; missed=$((missed + 1)); }
    [ "$missed" -eq 0 ]
}

case ${1:-} in
--self-test) self_test ;;
*) check "${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}" ;;
esac
