#!/usr/bin/env bash
# encoding.sh: one stream of awkward records written by every codec, and read back by readers that are not ours (Python's json and csv):
# every value is what it was, whichever way it went. A format that is not JSON too: raw as it came, json with what was parsed.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"

records=$(count 20000 500000)
python3 - "$records" "${SLUICE_SEED:-$$}" >"$work/in.ndjson" <<'PY'
import json, random, sys
count, seed = int(sys.argv[1]), int(sys.argv[2])
random.seed(seed)
pieces = ['a', 'käse', '"', ',', '\n', '\r\n', '\\', '\t', ' ', '\u2028', '\U0001F600', '\x00', '\x7f', "'", ';', '{}', '""', 'é' * 40, '']
def text():
    return ''.join(random.choice(pieces) for _ in range(random.randrange(6)))
def value():
    return random.choice([text(), random.randrange(-10**18, 10**18), random.random() * 10 ** random.randrange(-20, 20), True, False, None,
                          [text(), 1, None], {text(): text(), 'k': [1.5]}])
for i in range(count):
    r = {'seq': i, 'ts': 1795322096000 + i, 'service': random.choice(['pay', 'web', 'a"b,c']), 'level': random.choice(['info', 'ERROR', 30])}
    if random.random() < 0.9: r['message'] = text()
    if random.random() < 0.8: r['v'] = value()
    if random.random() < 0.5: r['deep'] = {'x': {'y.z': value()}}
    if random.random() < 0.5: r['number'] = random.choice(['12', 'x', 5, '1e3', ' 7', True])
    print(json.dumps(r, ensure_ascii=random.random() < 0.5))
PY
cat >"$work/encoding.yaml" <<YAML
name: encoding
sources:
  logs: { type: file, paths: ["$work/in.ndjson"], read: once }
operators:
  parsed: { type: parse, inputs: [logs] }
  lines: { type: parse, inputs: [logs], format: text }
  errors: { type: filter, inputs: [parsed], where: { level: error } }
sinks:
  json:
    type: files
    inputs: [parsed]
    dir: json
    encoding: { codec: json, fields: [seq, time, service, level, message, v, 'deep.x.y\.z', number], names: { 'deep.x.y\.z': z }, types: { number: number } }
  whole: { type: files, inputs: [parsed], dir: whole, encoding: { codec: json } }
  raw: { type: files, inputs: [parsed], dir: raw }
  csv:
    type: files
    inputs: [parsed]
    dir: csv
    encoding: { codec: csv, fields: [seq, time, service, level, message, v, 'deep.x.y\.z', number], types: { time: epoch_ms, number: number } }
  text: { type: files, inputs: [parsed], dir: text, encoding: { codec: text, template: "{seq}|{level}|{{{service}}}|{message}" } }
  both: { type: files, inputs: [errors, parsed], dir: both, encoding: { codec: csv, fields: [seq] } }
  lines_raw: { type: files, inputs: [lines], dir: lines_raw }
  lines_json: { type: files, inputs: [lines], dir: lines_json, encoding: { codec: json } }
  lines_text: { type: files, inputs: [lines], dir: lines_text, encoding: { codec: text, template: "{message}" } }
YAML
"$sluice" run --once "$work/encoding.yaml" --data-dir "$work/data" >"$work/log" 2>&1 || die "$(tail -n 20 "$work/log")"
for sink in json whole raw csv text both lines_raw lines_json lines_text; do
    "$sluice" cat "$work/data/$sink" >"$work/out.$sink" || die "cat $sink"
done
python3 - "$work" "$records" <<'PY' || die 'something came back otherwise'
import csv, json, re, sys
work, count = sys.argv[1], int(sys.argv[2])
# Lines end with LF alone: splitlines() would break at U+2028 and the like.
def lines(name):
    with open(f'{work}/{name}', encoding='utf-8', newline='') as file:
        text = file.read()
    assert text.endswith('\n')
    return text[:-1].split('\n')
source = lines('in.ndjson')
records = [json.loads(line) for line in source]
assert len(records) == count
number = re.compile(r'-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z')
def level(r): return {'info': 'info', 'ERROR': 'error', 30: 'info'}[r['level']]
def as_number(v):
    if isinstance(v, bool): return None
    if isinstance(v, str): return json.loads(v) if number.match(v) else None
    return v
def flat(text): return text.replace('\r', ' ').replace('\n', ' ')
def z(r): return r['deep']['x']['y.z'] if 'deep' in r else None

def check_json():
    got = {}
    for line in lines('out.json'):
        r = json.loads(line)
        assert r['seq'] not in got
        got[r['seq']] = r
    for r in records:
        want = {'seq': r['seq'], 'service': r['service'], 'level': level(r)}
        want['time'] = '2026-11-22T%02d:%02d:%02d.%03dZ' % (4 + (34 * 60 + 56 + r['seq'] // 1000) // 3600, (34 * 60 + 56 + r['seq'] // 1000) // 60 % 60,
                                                         (56 + r['seq'] // 1000) % 60, r['seq'] % 1000)
        want.update({k: r[k] for k in ('message', 'v') if k in r})
        if 'deep' in r: want['z'] = z(r)
        if 'number' in r and as_number(r['number']) is not None: want['number'] = as_number(r['number'])
        assert got[r['seq']] == want, (got[r['seq']], want)
    assert len(got) == count

def plain(v, source_line):
    return '' if v is None else v if isinstance(v, str) else v

def check_csv():
    got = {}
    with open(f'{work}/out.csv', encoding='utf-8', newline='') as file:
        for row in csv.reader(file, strict=True):
            assert len(row) == 8, row
            got[int(row[0])] = row
    assert len(got) == count
    for r in records:
        row = got[r['seq']]
        assert row[1] == str(r['ts']) and row[2] == r['service'] and row[3] == level(r), row
        assert row[4] == flat(r.get('message', '')), (row, r)
        for cell, v in ((row[5], r.get('v')), (row[6], z(r)), (row[7], as_number(r.get('number')))):
            if v is None: assert cell == '', (row, r)
            elif isinstance(v, str): assert cell == flat(v), (row, r)
            else: assert json.loads(cell) == v, (row, r)

def check_text():
    got = {int(line.split('|', 1)[0]): line for line in lines('out.text')}
    assert len(got) == count
    for r in records:
        assert got[r['seq']] == f"{r['seq']}|{level(r)}|{{{r['service']}}}|{flat(r.get('message', ''))}", (got[r['seq']], r)

csv.field_size_limit(1 << 30)
check_json()
check_csv()
check_text()
for name in ('out.whole', 'out.raw', 'out.lines_raw', 'out.lines_text'):
    assert sorted(lines(name)) == sorted(source), name
assert sorted(map(int, lines('out.both'))) == list(range(count))
assert sorted(json.loads(line)['message'] for line in lines('out.lines_json')) == sorted(source)
PY
finish
