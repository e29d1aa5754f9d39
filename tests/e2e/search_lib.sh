# shellcheck shell=bash disable=SC2154,SC2120 # lib.sh sets what this uses; not every caller has arguments
# search_lib.sh: a real OpenSearch for one script, numbered files as input, and topologies that bring them to both a landing zone and
# an index.
# SPDX-License-Identifier: Apache-2.0
#
# Sourced after lib.sh. start_search sets `url` (OpenSearch's own, for checks) and `target` (where sluice is to send, the same at
# first; "[URL, …]" for several hosts).
search() { "$support/opensearch" "$1" --dir "$work/opensearch" "${@:2}"; }
front() { "$support/nginx" "$1" --dir "$work/nginx" "${@:2}"; }
toxic() { "$support/toxiproxy" "$1" --dir "$work/toxiproxy" "${@:2}"; }
stop_backends() {
    local backend
    for backend in search front toxic; do "$backend" down >/dev/null 2>&1 || true; done
}


# start_search [SETTING=VALUE]...
start_search() {
    local status=0
    url=$(search up --port 0 "$@" | tail -n 1) || status=$?
    [ "$status" != 77 ] || skip 'no OpenSearch can be had here (JDK, Maven and its registry are needed)'
    [ "$status" = 0 ] || die "OpenSearch did not start"
    target=$url
}
start_front() { # nginx's arguments after HOST:PORT
    local status=0
    target=$(front up --port 0 "${url#http://}" "$@" | tail -n 1) || status=$?
    [ "$status" != 77 ] || skip 'no nginx can be had here (Debian'\''s package)'
    [ "$status" = 0 ] || die "nginx did not start"
}
start_toxic() {
    local status=0
    toxic up --port 0 >/dev/null || status=$?
    [ "$status" != 77 ] || skip 'no toxiproxy can be had here (Go and its module proxy are needed)'
    [ "$status" = 0 ] || die "toxiproxy did not start"
    target=http://$(toxic link search "${url#http://}")
}

# input PARTITIONS RECORDS: a file a partition that numbered makes, in $work/in
input() {
    local p
    partitions=$1 records=$2
    mkdir -p "$work/in"
    for ((p = 0; p < partitions; p++)); do "$support/numbered" "$p" 0 "$records" >"$work/in/$p.ndjson"; done
}
# break_some EVERY: every so manieth record gets a status that is no number; $work/broken.ids tells which (lines "P N")
break_some() {
    local p
    : >"$work/broken.ids"
    for ((p = 0; p < partitions; p++)); do
        awk -v p="$p" -v every="$1" -v list="$work/broken.ids" '
            NR % every == 5 { sub(/"status":[0-9]+/, "\"status\":\"broken\""); print p, NR - 1 >>list } { print }' \
            "$work/in/$p.ndjson" >"$work/in/new"
        mv "$work/in/new" "$work/in/$p.ndjson"
    done
}
# half NAME FIRST|SECOND: a half of that is appended to the files that NAME follows
half() {
    local p lines=$((records / 2))
    mkdir -p "$work/$1/in"
    for ((p = 0; p < partitions; p++)); do
        if [ "$2" = FIRST ]; then head -n $lines "$work/in/$p.ndjson"; else tail -n +$((lines + 1)) "$work/in/$p.ndjson"; fi \
            >>"$work/$1/in/$p.ndjson"
    done
}

# What becomes of records that the sink cannot take now: the landing zone is not to wait.
way='required: false
    when_full: spool'

# search_topology NAME [SETTINGS of the sink] [TOP-LEVEL LINES] [INDEX]: folder $work/NAME with t.yaml; the index is NAME. follow=1: it
# follows the files of half, else it reads those of input once
search_topology() {
    mkdir -p "$work/$1"
    : >"$work/$1/said"
    cat >"$work/$1/index-template.json" <<JSON
{ "index_patterns": ["$1*"], "template": {
  "settings": { "number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "5s" },
  "mappings": { "dynamic": true, "properties": { "p": { "type": "integer" }, "n": { "type": "integer" }, "ts": { "type": "date" },
    "service": { "type": "keyword" }, "level": { "type": "keyword" }, "status": { "type": "integer" },
    "trace_id": { "type": "keyword", "index": false, "doc_values": false }, "msg": { "type": "text", "index": false } } } } }
JSON
    cat >"$work/$1/t.yaml" <<YAML
name: $1
sources:
  lines: { type: file, paths: ["$work/${follow:+$1/}in/*.ndjson"], read: $([ -n "${follow:-}" ] && echo follow || echo once) }
operators:
  parsed: { type: parse, inputs: [lines], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 4MiB, every: 500ms } }
  search:
    type: opensearch
    inputs: [parsed]
    $([[ $target == \[* ]] && echo urls || echo url): $target
    index: "${4:-$1}"
    index_template: index-template.json
    retry: { backoff_min: 50ms, backoff_max: 1s }
    ${2:-$way}
dead_letters: { type: files, dir: dead }
${3:-}
YAML
}

# run_once NAME [OPTION]...: to the end of everything
run_once() { "$sluice" run --once --data-dir "$work/$1/data" "$work/$1/t.yaml" "${@:2}" >>"$work/$1/said" 2>&1; }
# start_run NAME: goes on until end_run
start_run() {
    "$sluice" run --data-dir "$work/$1/data" "$work/$1/t.yaml" >>"$work/$1/said" 2>&1 &
    running=$!
}
end_run() {
    kill -TERM "$running" || die 'sluice ended by itself'
    wait "$running" || die "sluice ended with $?"
}
# at once: asked to end, sluice gives a sink that does not take anything some seconds
kill_run() {
    kill -KILL "$running" || die 'sluice ended by itself'
    wait "$running" 2>/dev/null || true
}
last_words() { tail -n "${2:-8}" "$work/$1/said"; }

landed() { "$support/landing_check" --partitions "$partitions" --records "$records" "$work/$1/data/landing" >"$work/$1/landed"; }
found() { "$support/opensearch_check" --partitions "$partitions" --records "$records" "${@:2}" "$url" "$1" >"$work/found" 2>&1; }
counted() { found "$1" --quick; }
# some NAME: at least one document is there
some() { found "$1" --quick || [[ $(head -n 1 "$work/found") =~ ^[1-9] ]]; }
# landing NAME, index NAME [--but FILE]: must hold, and are told
landing() { landed "$1" || die "$1: landing: $(cat "$work/$1/landed")"; echo "$1: landing: $(tail -n 1 "$work/$1/landed")"; }
index() { found "$@" || die "$1: index: $(cat "$work/found")"; echo "$1: index: $(tail -n 1 "$work/found")"; }

# dead_letters NAME SINK PATTERN FILE [again]: those of that sink hold exactly the records of FILE (lines "P N"), each with a reason like
# PATTERN, and once unless `again`
dead_letters() {
    find "$work/$1/data/dead" -name .sluice -prune -o \( -name '*.ndjson' -o -name '*.zst' \) -print0 |
        xargs -0 -r -n 1 zstdcat -f >"$work/$1/letters"
    python3 - "$work/$1/letters" "$2" "$3" "$4" "${5:-}" <<'PYTHON' || die "$1: dead letters"
import json, re, sys
letters, sink, pattern, wanted, again = sys.argv[1:6]
wanted = sorted(tuple(map(int, line.split())) for line in open(wanted))
found, odd = [], 0
for line in open(letters):
    letter = json.loads(line)
    if letter["stage"] != sink or not re.search(pattern, letter["reason"]):
        odd += 1
        print("odd letter:", line[:400])
    record = json.loads(letter["raw"])
    found.append((record["p"], record["n"]))
found = sorted(set(found) if again else found)
if found != wanted or odd:
    print(f"{len(found)} dead letters of {len(wanted)}, {odd} odd; missing {sorted(set(wanted) - set(found))[:5]}, "
          f"not expected {sorted(set(found) - set(wanted))[:5]}, twice {len(found) - len(set(found))}")
    sys.exit(1)
print(f"{len(found)} dead letters, each with its reason: {letter['reason'][:160]}")
PYTHON
}
