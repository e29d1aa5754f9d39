# shellcheck shell=bash
# kafka_lib.sh: a real Kafka for one script, topics of numbered records, topologies that read them.
# SPDX-License-Identifier: Apache-2.0
kafka() { "$support/kafka" "$1" --dir "$work/kafka" "${@:2}"; }
stop_backends() { kafka down >/dev/null 2>&1 || true; }

# start_kafka BROKERS
start_kafka() {
    local status=0
    brokers=$(kafka up --brokers "$1" --port 0 | tail -n 1) || status=$?
    [ "$status" != 77 ] || skip 'no Kafka can be had here (JDK, Maven and its registry are needed)'
    [ "$status" = 0 ] || die 'Kafka did not start'
    replicas=$1
}

# make_topic NAME PARTITIONS [CONFIG=VALUE...]
make_topic() {
    local name=$1 partitions=$2 config=()
    shift 2
    for setting; do config+=(--config "$setting"); done
    kafka tool TopicCommand --create --topic "$name" --partitions "$partitions" --replication-factor "$replicas" \
        "${config[@]}" >/dev/null || die "topic $name"
}

# fill TOPIC PARTITIONS FROM COUNT: numbered records, zstd batches, one producer a partition
fill() {
    local p
    for ((p = 0; p < $2; p++)); do
        "$support/numbered" "$p" "$3" "$4" | kcat -P -b "$brokers" -t "$1" -p "$p" -X acks=all -X linger.ms=20 \
            -X compression.codec=zstd -X enable.idempotence=true || die "producing to $1 $p"
    done
}

# topology FILE [every] [extra lines]: kafka in, landing zone by service
topology() {
    cat >"$1" <<YAML
name: ${topology_name:-kills}
consumers: ${consumers:-2}
commit: { every: 200ms }
sources:
  logs: { type: kafka, brokers: ["${brokers//,/\", \"}"], topics: [${topic:-logs}], group: ${group:-kills}, session_timeout: 6s }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: ${landing:-landing}, path: "service={service}", roll: { bytes: 4MiB, every: ${2:-500ms} } }
${3:-}
YAML
}
