#!/usr/bin/env bash
# secured.sh: a Kafka that wants TLS and a login: a run through it with the password from the environment and from a file, and what
# is said of a wrong password, a wrong authority, a wrong protocol and a mechanism that cannot work. No output holds a password.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 2000 100000) # in each of 2 partitions
start_kafka "$(count 1 3)" secured
secured=$(kafka secured)
certificates=$work/kafka/certificates
wrong=hunter2-is-not-it
cp "$work/kafka/password" "$work/right.secret"
printf '%s\n' "$wrong" >"$work/wrong.secret"
LOGIN=$(<"$work/right.secret")
export LOGIN

# connection NAME [KEY VALUE]...: a folder NAME with sluice.yaml, in which a value replaces or is added
connection() {
    local -A setting=([security_protocol]=sasl_ssl [sasl_mechanism]=PLAIN [sasl_username]=sluice
        [sasl_password]="{ secret: { file: $work/right.secret } }" [ca]="$certificates/ca.pem")
    local folder=$work/$1 key
    shift
    while [ $# -gt 0 ]; do setting[$1]=$2 && shift 2; done
    mkdir -p "$folder"
    {
        printf 'data_dir: %s\nconnections:\n  main:\n    brokers: ["%s"]\n' "$folder/data" "${secured//,/\", \"}"
        for key in "${!setting[@]}"; do [ -z "${setting[$key]}" ] || printf '    %s: %s\n' "$key" "${setting[$key]}"; done
    } >"$folder/sluice.yaml"
    cat >"$folder/t.yaml" <<YAML
name: ${folder##*/}
commit: { every: 200ms }
sources:
  logs: { type: kafka, connection: main, topics: [logs], group: ${folder##*/}, session_timeout: 6s }
operators:
  parsed: { type: parse, inputs: [logs], format: json }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}" }
  copy: { type: kafka, inputs: [parsed], connection: main, topic: ${folder##*/} }
YAML
}
sluice_in() { # NAME COMMAND [ARGUMENT]...
    local folder=$work/$1 command=$2
    shift 2
    "$sluice" "$command" --config "$folder/sluice.yaml" "$folder/t.yaml" "$@" >>"$folder/said" 2>&1
}

# passes NAME: check and run both work, and every record is there once
passes() {
    make_topic "$1" 2
    sluice_in "$1" check --connect || die "$1: check --connect: $(cat "$work/$1/said")"
    sluice_in "$1" run --once || die "$1: run: $(tail -n 5 "$work/$1/said")"
    "$support/landing_check" --partitions 2 --records "$records" "$work/$1/data/landing" || die "$1: landing"
    copied=$(kcat -C -q -e -b "$brokers" -t "$1" -o beginning -f '%s\n' | sort -u | wc -l)
    [ "$copied" = $((2 * records)) ] || die "$1: $copied of $((2 * records)) records were copied"
}

# refused NAME PATTERN: check and run both fail, and say why
refused() {
    ! sluice_in "$1" check --connect || die "$1: check --connect found nothing"
    grep -qE "$2" "$work/$1/said" || die "$1: check --connect does not say '$2': $(cat "$work/$1/said")"
    : >"$work/$1/said"
    ! sluice_in "$1" run --once || die "$1: the run ended well"
    grep -qE "(stopped|sluice run): .*($2)" "$work/$1/said" || die "$1: run does not say '$2': $(cat "$work/$1/said")"
}

make_topic logs 2
fill logs 2 0 "$records"

echo 'the password from a file, and from the environment'
connection by-file
passes by-file
connection by-env sasl_password '{ secret: { env: LOGIN } }'
passes by-env

echo 'what is wrong is said, by check --connect and by run'
connection wrong-password sasl_password "{ secret: { file: $work/wrong.secret } }"
refused wrong-password 'Invalid username or password; check .*sasl_password'
connection wrong-authority ca "$certificates/other-ca.pem"
refused wrong-authority 'certificate verify failed.*check ca'
connection wrong-file sasl_password "{ secret: { file: $work/no-password } }"
refused wrong-file 'sasl_password: .*no-password: No such file'
connection no-login security_protocol ssl sasl_mechanism '' sasl_username '' sasl_password ''
! sluice_in no-login check --connect || die 'no-login: check --connect found nothing'
connection no-tls security_protocol sasl_plaintext ca ''
! sluice_in no-tls check --connect || die 'no-tls: check --connect found nothing'
grep -q 'connecting to a SSL listener' "$work/no-tls/said" || die "no-tls: $(cat "$work/no-tls/said")"

# A Kafka sink alone goes on trying; somebody has to be told why nothing goes out.
echo 'a sink that is not let in tells why'
connection sink-only sasl_password "{ secret: { file: $work/wrong.secret } }"
"$support/numbered" 0 0 100 >"$work/sink-only/in.ndjson"
cat >"$work/sink-only/t.yaml" <<YAML
name: sink-only
sources: { lines: { type: file, paths: [$work/sink-only/in.ndjson], read: once } }
sinks: { copy: { type: kafka, inputs: [lines], connection: main, topic: by-file } }
YAML
"$sluice" run --config "$work/sink-only/sluice.yaml" "$work/sink-only/t.yaml" >"$work/sink-only/said" 2>&1 &
pid=$!
told_why() { grep -qE 'sending: .*Invalid username or password' "$work/sink-only/said"; }
wait_for 30 told_why || die "sink-only: $(cat "$work/sink-only/said")"
kill -KILL $pid # asked politely, it waits for what is in flight
wait $pid 2>/dev/null || true

# librdkafka before 2.6.1 has a SCRAM that Kafka 4 refuses: said, as the words are those for a wrong password.
echo 'SCRAM'
connection scram sasl_mechanism SCRAM-SHA-512
if sluice_in scram check --connect; then
    passes scram
else
    grep -q 'Kafka 4 refuses the SCRAM of librdkafka .* PLAIN works' "$work/scram/said" || die "scram: $(cat "$work/scram/said")"
    if [ "${FULL:-0}" = 1 ]; then # the last Kafka before 4
        kafka down
        export KAFKA_VERSION=3.9.2
        start_kafka 1 secured
        secured=$(kafka secured)
        cp "$work/kafka/password" "$work/right.secret"
        make_topic logs 2
        fill logs 2 0 "$records"
        for mechanism in SCRAM-SHA-512 SCRAM-SHA-256; do
            connection "${mechanism,,}" sasl_mechanism "$mechanism"
            passes "${mechanism,,}"
        done
    fi
fi

for password in "$LOGIN" "$(<"$work/right.secret")" "$wrong"; do
    leaks=$(grep -rlF --exclude-dir=kafka --exclude="*.secret" -e "$password" "$work" || true)
    [ -z "$leaks" ] || die "a password is in $leaks"
done
finish
