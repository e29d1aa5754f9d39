#!/bin/bash
# klog.sh - the log interface against a real Kafka of its own
#
#   klog.sh PROGRAM [CASE]    PROGRAM is the built klog_real or kafka_ends_real
#
# Exit status: 0; 1 a check failed; 2 usage; 77 Kafka cannot be had here.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

[ $# -ge 1 ] || { sed -n '4,6s/^# \?//p' "$0" >&2; exit 2; }
support=$(dirname "$(readlink -f "$0")")/../support
place=$(mktemp -d)
trap '"$support/kafka" down --dir "$place/kafka"; rm -rf "$place"' EXIT
brokers=$("$support/kafka" up --dir "$place/kafka" --port 0)
program=$1
shift
"$program" "$brokers" "$@"
