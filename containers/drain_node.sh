#!/usr/bin/env bash
# Before a node of Ray stops: its replicas end what they have begun, and others take their place elsewhere.
# Usage: containers/drain_node.sh SECONDS
# What fails here must not keep the pod from stopping.
set -uo pipefail
seconds=${1:?how long it may take}
timeout "$seconds" "${OCTAVIA_PYTHON:-python}" -m serve.drain_node "$seconds" || echo "The node was not drained." >&2
ray stop >/dev/null 2>&1 || true
