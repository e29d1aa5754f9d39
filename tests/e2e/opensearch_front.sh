#!/usr/bin/env bash
# opensearch_front.sh: what stands before an OpenSearch: TLS with a right and with wrong certificates, users, API keys, and a network
# that breaks connections in the middle of a request and of an answer.
# tier: e2e
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/e2e/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/e2e/search_lib.sh
. "$here/search_lib.sh"

certificates=$work/nginx/certificates
password='not%to:be seen"1'
key=VuaCfGcBCdbkQm-e5aOx:ui2lp2axTNmsyakw9tvNnw
printf '%s\n' "$password" >"$work/right.secret"
printf 'no%s\n' "$password" >"$work/wrong.secret"
printf '%s' "$key" | base64 >"$work/key.secret"
printf '%s' "no$key" | base64 >"$work/wrong-key.secret"

# told NAME PATTERN: check --connect says so, and so does the running sluice; nothing gets through
said() { grep -qE "$2" "$work/$1/said"; }
told() {
    ! "$sluice" check --connect "$work/$1/t.yaml" >"$work/$1/said" 2>&1 || die "$1: check --connect found nothing"
    said "$1" "$2" || die "$1: check --connect does not say '$2': $(cat "$work/$1/said")"
    : >"$work/$1/said"
    start_run "$1"
    wait_for 60 said "$1" "$2" || die "$1: it does not say '$2': $(last_words "$1")"
    wait_for 60 landed "$1" || die "$1: the landing zone waits for the index: $(cat "$work/$1/landed")"
    kill_run
    [ "$(curl -s -I -o /dev/null -w '%{http_code}' "$url/$1")" = 404 ] || die "$1: an index was made all the same"
}
arrives() {
    "$sluice" check --connect "$work/$1/t.yaml" >>"$work/$1/said" 2>&1 || die "$1: check --connect: $(cat "$work/$1/said")"
    run_once "$1" || die "$1: $(last_words "$1")"
    landing "$1"
    index "$1"
}

# shellcheck disable=SC2119 # without settings
start_search
input 2 "$(count 5000 50000)"

echo 'TLS and a user'
start_front "user=sluice:$password"
user="$way
    tls: { ca: $certificates/ca.pem }
    auth: { user: sluice, password: { secret: { file: $work/right.secret } } }"
search_topology secured "$user"
arrives secured
search_topology password "${user/right.secret/wrong.secret}"
told password '401'
search_topology nobody "$way
    tls: { ca: $certificates/ca.pem }"
told nobody '401'
search_topology authority "${user/\/ca.pem/\/other-ca.pem}"
told authority 'certificate'
search_topology unknown "${user/tls: \{ ca: *ca.pem \}/}"
told unknown 'certificate'
search_topology unchecked "${user/\{ ca: *ca.pem \}/\{ verify: false \}}"
arrives unchecked
front down
for certificate in elsewhere expired; do
    start_front "user=sluice:$password" "certificate=$certificate"
    search_topology "$certificate" "$user"
    told "$certificate" 'certificate'
    front down
done

# No OpenSearch without its security plugin has API keys: what one that has them says was recorded.
echo 'an API key'
cat >"$work/recording.json" <<JSON
{ "must": { "Authorization": "ApiKey $(<"$work/key.secret")" },
  "refusal": { "status": 401, "body": { "error": { "root_cause": [ { "type": "security_exception",
      "reason": "unable to authenticate with provided credentials and anonymous access is not allowed for this request" } ],
      "type": "security_exception" }, "status": 401 } },
  "answers": [
    { "method": "PUT", "path": "/_index_template/.*", "status": 200, "body": { "acknowledged": true } },
    { "method": "POST", "path": "/_bulk.*", "status": 200, "body": { "took": 30, "errors": false, "items": "each" } } ] }
JSON
"$support/answers" "$work/answers.port" "$work/answers.log" "$work/recording.json" &
answers=$!
wait_for 30 test -e "$work/answers.port" || die 'answers did not start'
target=http://127.0.0.1:$(<"$work/answers.port")
search_topology key "$way
    compression: gzip
    auth: { api_key: { secret: { file: $work/key.secret } } }"
run_once key || die "key: $(last_words key)"
landing key
python3 - "$work/answers.log" "$partitions" "$records" <<'PYTHON' || die 'key: not every document was sent once'
import json, sys
seen = []
for line in open(sys.argv[1]):
    method, path, status, taken = json.loads(line)
    assert status == 200, line[:200]
    seen += [(document["p"], document["n"]) for document in taken]
wanted = [(p, n) for p in range(int(sys.argv[2])) for n in range(int(sys.argv[3]))]
print(f"{len(seen)} documents were sent with the key")
sys.exit(sorted(seen) != wanted)
PYTHON
search_topology wrong-key "$way
    auth: { api_key: { secret: { file: $work/wrong-key.secret } } }"
told wrong-key '401'
kill $answers
wait $answers || true

echo 'connections that break in the middle of a request, of an answer, and hang'
start_toxic
search_topology broken "$way
    batch: { bytes: 200KiB }
    timeout: 2s
    connect_timeout: 1s"
# A bulk of 200 KiB is cut off after 100 KB; an answer after 300 bytes: what became of it is not known. Then again with a reset.
for toxic in 'limit_data up bytes=100000' 'limit_data down bytes=300' 'reset_peer up timeout=0' \
    'reset_peer down timeout=20' 'timeout down timeout=0'; do
    # shellcheck disable=SC2086
    toxic hurt search $toxic
    start_run broken
    wait_for 60 said broken 'sending again' || die "broken, $toxic: nothing is said: $(last_words broken)"
    kill_run
    toxic heal search
    : >"$work/broken/said"
done
wait_for 60 landed broken || die "broken: landing: $(cat "$work/broken/landed")"
arrives broken

echo 'two hosts, of which one after the other is away'
target="[$target, http://$(toxic link other "${url#http://}")]"
toxic cut search
follow=1 search_topology hosts
half hosts FIRST
start_run hosts
wait_for 60 some hosts || die "hosts: nothing arrives by way of the second: $(last_words hosts)"
toxic cut other
toxic mend search
half hosts SECOND
wait_for 120 counted hosts || die "hosts: $(cat "$work/found"); $(last_words hosts)"
end_run
landing hosts
index hosts

leaks=$(grep -rlF --exclude='*.secret' --exclude=recording.json -e "$password" -e "$key" -e "$(<"$work/key.secret")" \
    -e "$(<"$work/wrong-key.secret")" "$work" || true)
[ -z "$leaks" ] || die "a secret is in $leaks"
finish
