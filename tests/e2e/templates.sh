#!/usr/bin/env bash
# templates.sh: what `sluice init` gives, as it is, against the real thing: Kafka, OpenSearch, ClickHouse, logger, telemetrygen.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/kafka_lib.sh
. "$here/kafka_lib.sh"

records=$(count 4000 200000)
searching() { "$support/opensearch" "$1" --dir "$work/search" "${@:2}"; }
clickhouse() { "$support/clickhouse" "$1" --dir "$work/clickhouse" "${@:2}"; }
stop_backends() {
    kafka down >/dev/null 2>&1 || true
    searching down >/dev/null 2>&1 || true
    clickhouse down >/dev/null 2>&1 || true
}
# up VARIABLE COMMAND...: its last line into the variable; skips where the server cannot be had
up() {
    local status=0 line
    line=$("${@:2}" up --port 0 | tail -n 1) || status=$?
    [ "$status" != 77 ] || skip "$2 cannot be had here"
    [ "$status" = 0 ] || die "$2 did not start"
    printf -v "$1" %s "$line"
}
# init TEMPLATE: into $work/TEMPLATE, checked and its cases run
init() {
    (cd "$work" && "$sluice" init "$1" --dir "$root/topologies" >init.log && "$sluice" check "$1/topology.yaml" >>init.log 2>&1 &&
        "$sluice" test "$1/topology.yaml" >>init.log 2>&1) || die "$1: $(cat "$work/init.log")"
}
once() { "$sluice" run --once "$work/$1/topology.yaml" --data-dir "$work/$1.data" >"$work/$1.log" 2>&1 || die "$1: $(tail -n 20 "$work/$1.log")"; }
begin() {
    "$sluice" run "$work/$1/topology.yaml" --data-dir "$work/$1.data" >"$work/$1.log" 2>&1 &
    pid=$!
    wait_for 30 curl -fs -o "$work/ready" --unix-socket "$work/$1.data/control.sock" http://sluice/readyz || die "$1 is not ready: $(cat "$work/$1.log")"
}
end() {
    kill -TERM "$pid"
    wait "$pid" || die "$1 ended with an error: $(tail -n 20 "$work/$1.log")"
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
hits() { curl -fsS "$OPENSEARCH/logs-*/_count" -H 'Content-Type: application/json' -d "{\"query\":$1}" | python3 -c 'import json, sys; print(json.load(sys.stdin)["count"])'; }
equal() { [ "$2" = "$3" ] || die "$1: $2, should be $3"; }

start_kafka 1
export KAFKA=$brokers
up OPENSEARCH searching
up CLICKHOUSE clickhouse
export OPENSEARCH CLICKHOUSE

echo 'kafka-opensearch: all errors and whole traces of the rest, nothing unmasked'
init kafka-opensearch
make_topic logs.app 2
python3 - "$records" <<'PY' | kcat -P -q -b "$brokers" -t logs.app -X acks=all
import hashlib, json, sys, time
now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
for n in range(int(sys.argv[1])):
    level = ("debug", "info", "info", "warn", "error")[n % 5]
    print(json.dumps({"ts": now, "service": f"s{n % 7}", "level": level, "trace_id": hashlib.md5(b"%d" % (n // 4)).hexdigest(), "n": n, "msg": f"mail to user{n}@example.com, card 4111 1111 1111 1111"}))
PY
once kafka-opensearch
curl -fsS -XPOST "$OPENSEARCH/logs-*/_refresh" >/dev/null
equal 'errors in the index' "$(hits '{"match":{"level":"error"}}')" $((records / 5))
equal 'debug in the index' "$(hits '{"match":{"level":"debug"}}')" 0
equal 'addresses in the index' "$(hits '{"match_phrase":{"msg":"example.com"}}')" 0
equal 'card numbers in the index' "$(hits '{"match_phrase":{"msg":"4111 1111 1111 1111"}}')" 0
kept=$(hits '{"match":{"level":"info"}}')
if [ "$kept" -le $((records * 2 / 5 / 20)) ] || [ "$kept" -ge $((records * 2 / 5 / 5)) ]; then
    die "a tenth of $((records * 2 / 5)) infos should be in the index, not $kept"
fi

echo 'nginx-clickhouse: each line a row'
init nginx-clickhouse
export NGINX_LOGS=$work/nginx
mkdir "$NGINX_LOGS"
python3 - "$records" >"$NGINX_LOGS/access.log" <<'PY'
import sys, time
when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
for n in range(int(sys.argv[1])):
    status, size = (304, "-") if n % 10 == 0 else (200, str(n))
    print(f'10.0.{n // 250 % 250}.{n % 250} - - [{when}] "GET /item/{n}?q=a%20b HTTP/1.1" {status} {size} "-" "Mozilla/5.0 (X11; \\"quoted\\")"')
print("what no server wrote")
PY
clickhouse query "$(sed -n 's/^#   //p' "$work/nginx-clickhouse/topology.yaml")" || die 'the table of the template was not made'
once nginx-clickhouse
equal 'rows' "$(clickhouse query 'SELECT count(), uniq(path), countIf(status = 304), countIf(isNull(bytes)) FROM access')" \
    "$records	$records	$((records / 10))	$((records / 10))"
equal 'dead letters' "$("$sluice" cat "$work/nginx-clickhouse.data/dead" | grep -c 'what no server wrote')" 1

echo 'syslog-edge: messages of logger are in the topic'
init syslog-edge
SYSLOG_LISTEN=127.0.0.1:$(free_port)
export SYSLOG_LISTEN
make_topic logs.syslog 2
begin syslog-edge
seq 1 "$records" | sed 's/^/message number /' | logger --server 127.0.0.1 --port "${SYSLOG_LISTEN#*:}" --tcp --octet-count --tag app
in_topic() { kcat -C -q -e -b "$brokers" -t logs.syslog >"$work/topic" 2>/dev/null && [ "$(wc -l <"$work/topic")" -ge "$records" ]; }
wait_for 60 in_topic || die "syslog-edge: $(wc -l <"$work/topic") of $records messages: $(tail -n 5 "$work/syslog-edge.log")"
end syslog-edge
equal 'messages, distinct' "$(grep -oE 'message number [0-9]+' "$work/topic" | sort -u | wc -l) of $(wc -l <"$work/topic")" "$records of $records"

echo 'tenant-landing: a folder for each tenant'
init tenant-landing
make_topic tenant.all 2
python3 - "$records" <<'PY' | kcat -P -q -b "$brokers" -t tenant.all -X acks=all
import json, sys, time
now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
for n in range(int(sys.argv[1])):
    record = {"ts": now, "service": "pay", "level": "info", "n": n}
    if n % 4:
        record["tenant"] = f"t{n % 4}"
    print(json.dumps(record))
PY
once tenant-landing
for tenant in 1 2 3; do
    equal "tenant t$tenant" "$("$sluice" cat "$work/tenant-landing.data/landing/tenant=t$tenant" | grep -c "\"t$tenant\"")" $((records / 4))
done
equal 'records of nobody' "$("$sluice" cat "$work/tenant-landing.data/unowned" | wc -l)" $((records / 4))

echo 'otlp-files: what a collector would send'
init otlp-files
OTLP_LISTEN=127.0.0.1:$(free_port)
export OTLP_LISTEN
begin otlp-files
"$support/telemetrygen" logs --otlp-http --otlp-insecure --otlp-endpoint "$OTLP_LISTEN" --rate 0 --logs "$records" --service pay \
    --otlp-attributes 'deployment.environment="test"' >"$work/telemetrygen.log" 2>&1 || {
    [ $? != 77 ] || skip 'telemetrygen cannot be had here'
    die "telemetrygen: $(tail -n 5 "$work/telemetrygen.log")"
}
end otlp-files
equal 'log records' "$("$sluice" cat "$work/otlp-files.data/landing" | grep -c '"deployment.environment":"test"')" "$records"
finish
