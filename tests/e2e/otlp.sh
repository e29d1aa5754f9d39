#!/usr/bin/env bash
# otlp.sh: OpenTelemetry logs from real clients (telemetrygen, the Python SDK) into the landing zone: every record there, once, with
# its resource, scope and attributes; what was acknowledged survives kill -9; answers are those of the specification.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 5000 200000)
python=$("$support/pyvenv" otlp opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2) || skip 'the Python SDK cannot be had'
telemetrygen=$("$support/telemetrygen" --help >/dev/null 2>&1 && echo "$support/telemetrygen") || telemetrygen=
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/otlp.yaml" <<YAML
name: otlp
sources:
  logs: { type: otlp, listen: "127.0.0.1:$port", max_body: 4MiB }
operators:
  parsed: { type: parse, inputs: [logs] }
sinks:
  landing: { type: files, inputs: [parsed], dir: landing, path: "service={service}", roll: { bytes: 8MiB, every: 300ms } }
YAML
begin() {
    "$sluice" run "$work/otlp.yaml" --data-dir "$work/data" >>"$work/log" 2>&1 &
    pid=$!
    wait_for 30 curl -fs -o "$work/ready" "http://127.0.0.1:$port/healthz" || die "not ready: $(tail -n 20 "$work/log")"
}
end() {
    kill -TERM "$pid"
    wait "$pid" || die "sluice ended with an error: $(tail -n 20 "$work/log")"
}
landed() { "$sluice" cat "$work/data/landing/service=$1" 2>/dev/null || true; }
landed_count() { [ "$(landed "$1" | wc -l)" -ge "$2" ]; }

cat >"$work/sdk.py" <<'PY'
# The SDK's own batches and exporter: COUNT records of every kind of value.
import sys
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

endpoint, count = sys.argv[1], int(sys.argv[2])
provider = LoggerProvider(resource=Resource.create({"service.name": "sdk", "host.name": "h1", "n": 5, "list": ["a", "b"]}))
provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, compression=Compression.Gzip),
                                                          max_queue_size=count + 1))
logger = provider.get_logger("lib.name", "1.2.3", attributes={"scope.key": "scope value"})
levels = [SeverityNumber.TRACE, SeverityNumber.DEBUG2, SeverityNumber.INFO, SeverityNumber.WARN, SeverityNumber.ERROR4, SeverityNumber.FATAL]
for i in range(count):
    body = [f"record {i}", {"text": "käse\n\"q\"", "deep": [1, 2.5, True, None, {"k": "v"}]}, ["a", 1], i, True, b"\x00\xff"][i % 6]
    logger.emit(timestamp=1795322096000000000 + i, observed_timestamp=1795322096500000000, severity_number=levels[i % 6],
                severity_text="text", body=body, attributes={"seq": i, "half": 0.5, "yes": True, "list": [1, 2], "bytes": b"ab"})
provider.force_flush()
provider.shutdown()
PY
cat >"$work/posts.py" <<'PY'
# Requests of ten records with numbers, protobuf and JSON, gzip or not, each sent again until it is answered 200, whatever happens to
# the server in between; sixteen at a time.
import concurrent.futures, gzip, json, sys, time, urllib.request, urllib.error
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

endpoint, count = sys.argv[1], int(sys.argv[2])
def request(first):
    attributes = [{"key": "service.name", "value": {"stringValue": "posts"}}]
    logs = [{"timeUnixNano": str(1795322096000000000 + i), "severityNumber": 9, "body": {"stringValue": f"n {i}"},
             "attributes": [{"key": "seq", "value": {"intValue": str(i)}}]} for i in range(first, first + 10)]
    return {"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"scope": {"name": "s"}, "logRecords": logs}]}]}
def protobuf(first):
    message = ExportLogsServiceRequest()
    logs = message.resource_logs.add()
    logs.resource.attributes.add(key="service.name").value.string_value = "posts"
    scope = logs.scope_logs.add()
    scope.scope.name = "s"
    for i in range(first, first + 10):
        record = scope.log_records.add(time_unix_nano=1795322096000000000 + i, severity_number=9)
        record.body.string_value = f"n {i}"
        record.attributes.add(key="seq").value.int_value = i
    return message.SerializeToString()
def send(n):
    json_way = n % 2 == 0
    body = json.dumps(request(10 * n)).encode() if json_way else protobuf(10 * n)
    headers = {"Content-Type": "application/json" if json_way else "application/x-protobuf"}
    if n % 3 == 0:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(endpoint, body, headers), timeout=30) as answer:
                said = answer.read()
                assert answer.headers["Content-Type"] == headers["Content-Type"], answer.headers
                assert said == (b"{}" if json_way else b""), said
                if not json_way:
                    ExportLogsServiceResponse.FromString(said)
                return
        except urllib.error.HTTPError as error:
            assert error.code in (429, 503) and "Retry-After" in error.headers, (error.code, error.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError, OSError):
            pass
        time.sleep(0.02)  # poll
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    for done in pool.map(send, range(count // 10)):
        pass
PY
cat >"$work/answers.py" <<'PY'
# What the specification says of answers.
import gzip, json, sys, urllib.request, urllib.error
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

endpoint = sys.argv[1]
def post(body, content_type, path=endpoint, method="POST", **headers):
    if content_type:
        headers["Content-Type"] = content_type
    try:
        with urllib.request.urlopen(urllib.request.Request(path, body, headers, method=method), timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()
PROTO, JSON = "application/x-protobuf", "application/json"
def status_text(body):  # google.rpc.Status, field 2
    assert body[0] == 0x12, body
    return body[2 + (body[1] > 127):].decode()
def both():
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    scope.log_records.add().body.string_value = "small, of the partial ones"
    scope.log_records.add().body.string_value = "x" * (1 << 21)
    return request.SerializeToString()

code, kind, body = post(b"garbage", PROTO)
assert (code, kind) == (400, PROTO) and "ExportLogsServiceRequest" in status_text(body), (code, kind, body)
code, kind, body = post(b"{", JSON)
assert (code, kind) == (400, JSON) and "no JSON" in json.loads(body)["message"], (code, kind, body)
code, kind, body = post(b"{}", PROTO, **{"Content-Encoding": "gzip"})
assert code == 400, (code, body)
assert post(b"x", "text/plain")[0] == 415
assert post(b"{}", JSON, path=endpoint + "x")[0] == 404
assert post(None, None, method="GET")[0] == 405
assert post(gzip.compress(b" " * (5 << 20)), JSON, **{"Content-Encoding": "gzip"})[0] == 413
assert post(b"", PROTO) == (200, PROTO, b"") and post(b"{}", JSON + "; charset=utf-8") == (200, JSON, b"{}")
code, kind, body = post(both(), PROTO)
partial = ExportLogsServiceResponse.FromString(body).partial_success
assert code == 200 and partial.rejected_log_records == 1 and "max_record" in partial.error_message, (code, body)
code, kind, body = post(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "y" * (1 << 21)}}]}]}]}).encode(), JSON)
assert (code, json.loads(body)["partialSuccess"]["rejectedLogRecords"]) == (200, "1"), (code, body)
PY
cat >"$work/sdk_check.py" <<'PY'
import json, sys
count, seen = int(sys.argv[1]), {}
bodies = [None, {"text": "käse\n\"q\"", "deep": [1, 2.5, True, None, {"k": "v"}]}, ["a", 1], None, True, "AP8="]
for line in sys.stdin:
    r = json.loads(line)
    i = r["attributes"]["seq"]
    assert i not in seen, f"record {i} is there twice"
    seen[i] = True
    assert r["ts"] == "2026-11-22T04:34:56.%09dZ" % i and r["observed_ts"] == "2026-11-22T04:34:56.500000000Z", r
    assert r["service"] == "sdk" and r["level"] == ["trace", "debug", "info", "warn", "error", "fatal"][i % 6], r
    assert r["body"] == (f"record {i}" if i % 6 == 0 else i if i % 6 == 3 else bodies[i % 6]), r
    assert r["attributes"] == {"seq": i, "half": 0.5, "yes": True, "list": [1, 2], "bytes": "YWI="}, r
    assert r["scope"] == {"name": "lib.name", "version": "1.2.3", "attributes": {"scope.key": "scope value"}}, r
    resource = r["resource"]
    assert resource["host.name"] == "h1" and resource["n"] == 5 and resource["list"] == ["a", "b"] and "telemetry.sdk.name" in resource, r
    assert r["severity_text"] == "text" and r["severity_number"] in (1, 6, 9, 13, 20, 21), r
assert len(seen) == count, f"{len(seen)} of {count} records"
PY

url=http://127.0.0.1:$port/v1/logs
begin
echo "the Python SDK: $records records"
"$python" "$work/sdk.py" "$url" "$records" || die 'the SDK failed'
wait_for 60 landed_count sdk "$records" || die "the SDK: $(landed sdk | wc -l) of $records landed"
landed sdk | "$python" "$work/sdk_check.py" "$records" || die 'what the SDK sent has come otherwise'

echo 'answers'
"$python" "$work/answers.py" "$url" || die 'answers'
wait_for 20 landed_count __none__ 1 || die 'the good one of a partial success has not landed'
[ "$(landed __none__ | wc -l)" = 1 ] || die 'a rejected record has landed'

if [ -n "$telemetrygen" ]; then
    echo "telemetrygen: $records records"
    "$telemetrygen" logs --otlp-http --otlp-insecure --otlp-endpoint "127.0.0.1:$port" --rate 0 --logs "$records" --workers 1 --service gen \
        --body 'from telemetrygen' --severity-number 17 --severity-text Error --otlp-attributes 'region="north"' --telemetry-attributes 'kind="test"' \
        --trace-id 4bf92f3577b34da6a3ce929d0e0e4736 --span-id 00f067aa0ba902b7 >"$work/telemetrygen.log" 2>&1 || die "telemetrygen: $(tail -n 5 "$work/telemetrygen.log")"
    wait_for 60 landed_count gen "$records" || die "telemetrygen: $(landed gen | wc -l) of $records landed"
    landed gen | "$python" -c '
import json, sys
count = 0
for line in sys.stdin:
    r = json.loads(line)
    count += 1
    assert r["body"] == "from telemetrygen" and r["level"] == "error" and r["service"] == "gen", r
    assert r["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736" and r["span_id"] == "00f067aa0ba902b7", r
    assert r["resource"]["region"] == "north" and r["attributes"]["kind"] == "test", r
assert count == int(sys.argv[1]), count' "$records" || die 'what telemetrygen sent has come otherwise'
else
    echo 'telemetrygen cannot be had here: left out'
fi

echo 'kill -9 while requests come'
"$python" "$work/posts.py" "$url" "$records" &
posts=$!
for _ in 1 2 3; do
    pause_ms "$(moment 100 400)"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    begin
done
wait "$posts" || die 'a request was answered wrongly'
end
"$sluice" run --once "$work/otlp.yaml" --data-dir "$work/data" >>"$work/log" 2>&1 &
pid=$!
wait_for 60 landed_count posts "$records" || die "after kills: $(landed posts | wc -l) of $records landed"
kill -TERM "$pid"
wait "$pid" || die "the last run ended with an error: $(tail -n 20 "$work/log")"
landed posts | "$python" -c '
import json, sys
seqs = [json.loads(line)["attributes"]["seq"] for line in sys.stdin]
missing = set(range(int(sys.argv[1]))) - set(seqs)
assert not missing, f"{len(missing)} acknowledged records are lost, such as {sorted(missing)[:5]}"
print(f"{len(seqs) - len(set(seqs))} came twice: requests that were sent again")' "$records" || die 'acknowledged records are lost'
[ -z "$("$sluice" cat "$work/data/dead" 2>/dev/null | head -n 1)" ] || die 'there are dead letters'
finish
