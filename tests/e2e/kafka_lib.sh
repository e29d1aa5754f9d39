# shellcheck shell=bash
# kafka_lib.sh: a real Kafka for one script, topics of numbered records, topologies that read them.
# SPDX-License-Identifier: Apache-2.0
kafka() { "$support/kafka" "$1" --dir "$work/kafka" "${@:2}"; }
stop_backends() { kafka down >/dev/null 2>&1 || true; }

# start_kafka BROKERS [secured]
start_kafka() {
    local status=0
    brokers=$(kafka up --brokers "$1" --port 0 "${@:2}" | tail -n 1) || status=$?
    [ "$status" != 77 ] || skip 'no Kafka can be had here (JDK, Maven and its registry are needed)'
    [ "$status" = 0 ] || die 'Kafka did not start'
    replicas=$1
}

# make_topic NAME PARTITIONS [CONFIG=VALUE...]; try_topic: the same, may fail
try_topic() {
    local name=$1 partitions=$2 config=()
    shift 2
    for setting; do config+=(--config "$setting"); done
    kafka tool TopicCommand --create --topic "$name" --partitions "$partitions" --replication-factor "$replicas" \
        "${config[@]}" >/dev/null 2>&1
}
make_topic() { try_topic "$@" || die "topic $1 was not made"; }

# fill TOPIC PARTITIONS FROM COUNT: numbered records, zstd batches, one producer a partition
fill() {
    local p
    for ((p = 0; p < $2; p++)); do fill_one "$1" "$p" "$p" "$3" "$4" || die "producing to $1 $p"; done
}

# fill_one TOPIC PARTITION P FROM COUNT: records numbered as those of P into one partition; fails as kcat does
fill_one() {
    "$support/numbered" "$3" "$4" "$5" | kcat -P -q -b "$brokers" -t "$1" -p "$2" -X acks=all -X linger.ms=20 -X compression.codec=zstd \
        -X enable.idempotence=true
}

# topology FILE [every] [extra lines]: kafka in, landing zone by service
topology() {
    cat >"$1" <<YAML
name: ${topology_name:-kills}
consumers: ${consumers:-2}
commit: { every: 200ms }
sources:
  logs: { type: kafka, brokers: ["${brokers//,/\", \"}"], topics: ["${topic:-logs}"], group: ${group:-kills}, session_timeout: ${session:-6s}${source_more:-} }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: ${landing:-landing}, path: "service={service}", roll: { bytes: 4MiB, every: ${2:-500ms} } }
${3:-}
YAML
}

# trickle TOPIC PARTITIONS FROM COUNT SECONDS: the same, spread over that long
trickle() {
    local p pids=()
    for ((p = 0; p < $2; p++)); do
        "$support/numbered" --over "$5" "$p" "$3" "$4" | kcat -P -q -b "$brokers" -t "$1" -p "$p" -X acks=all -X linger.ms=20 \
            -X compression.codec=zstd -X enable.idempotence=true &
        pids+=($!)
    done
    for p in "${pids[@]}"; do wait "$p" || return 1; done
}

# nodes NAME...: a folder each, with sluice.yaml and the topology; then start_node and end_node
declare -A node_pid=() node_log=()
nodes() {
    local node
    for node; do
        mkdir "$work/$node"
        cat >"$work/$node/sluice.yaml" <<YAML
node: $node
data_dir: $work/$node
YAML
        topology "$work/$node/t.yaml"
    done
}

# start_node NAME [VARIABLE=VALUE...]: runs until it is ended
start_node() {
    local node=$1
    shift
    node_log[$node]=$(wc -c 2>/dev/null <"$work/$node.log" || echo 0)
    env "$@" "$sluice" run --config "$work/$node/sluice.yaml" "$work/$node/t.yaml" --data-dir "$work/$node" >>"$work/$node.log" 2>&1 &
    node_pid[$node]=$!
}

# end_node NAME SIGNAL; a SIGTERM has to end it with 0, but where it came before the program had said its first word
end_node() {
    local node=$1 status=0
    kill "-$2" "${node_pid[$node]}" || die "node $node ended by itself: $(tail -n 3 "$work/$node.log")"
    wait "${node_pid[$node]}" 2>/dev/null || status=$?
    unset "node_pid[$node]"
    [ "$2" != TERM ] || [ $status = 0 ] || { [ $status = 143 ] && ! said "$node" 'state in'; } || die "node $node ended with $status: $(tail -n 5 "$work/$node.log")"
}
# said NODE PATTERN: in its log since its last start
said() { tail -c +$((${node_log[$1]} + 1)) "$work/$1.log" | grep -qE "$2"; }
pick() {
    local choice=("$@")
    echo "${choice[RANDOM % $#]}"
}

# told NODE KEY: the sum of a number in the status of each of its partitions; of key count their number (0 while it does not answer)
told() {
    { curl -s --max-time 2 --unix-socket "$work/$1/control.sock" http://sluice/status || true; } |
        python3 -c 'import json, sys
try: print(sum(row.get(sys.argv[1], 1) for topology in json.load(sys.stdin)["topologies"] for row in topology["sources"]))
except ValueError: print(0)' "$2"
}
# drained SUM SECONDS: until the running nodes' committed offsets are SUM in all
is_drained() {
    local sum=0 node
    for node in "${!node_pid[@]}"; do sum=$((sum + $(told "$node" committed))); done
    [ "$sum" = "$1" ]
}
drained() { wait_for "$2" is_drained "$1"; }

# no_temporaries LANDING...: a start removes all temporaries but those of the start before it, so one epoch's may be left in each
no_temporaries() {
    local landing epochs
    for landing; do
        epochs=$(find "$landing/.sluice/tmp" -type f -printf '%h\n' 2>/dev/null | sort -u | wc -l) || true
        [ "$epochs" -le 1 ] || die "temporaries of $epochs starts are left over in $landing/.sluice/tmp"
    done
}
