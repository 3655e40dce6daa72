#!/usr/bin/env bash
# The weights on the volume OCTAVIA_WEIGHTS_DIR. Usage: containers/weights.sh pull|keep|there|wait
#   pull   fetch, verify and convert what the settings ask for, and note that it is there
#   keep   the same, then stay: a pod that ends would be started again
#   there  exit 0 when what the settings ask for is noted
#   wait   until it is
set -euo pipefail
folder=${OCTAVIA_WEIGHTS_DIR:?where the weights lie}
repository=${OCTAVIA_MODEL_REPO:?the model repository}
python=${OCTAVIA_PYTHON:-python}
every=${OCTAVIA_WAIT_EVERY_S:-5}

# Other settings or another catalogue ask for other weights.
wanted() {
    {
        env | grep '^OCTAVIA_' | grep -vE '^OCTAVIA_(SERVE_|WEIGHTS_DIR=|MODEL_REPO=|PYTHON=|WAIT_EVERY_S=)' | sort || true
        cat "$repository/catalogue.toml"
    } | sha256sum | cut -c1-16
}
note=$folder/.pulled/$(wanted)

pull() {
    "$python" -m serve.weights pull
    mkdir -p "$(dirname "$note")"
    touch "$note"
}

case ${1:-} in
    pull) pull ;;
    keep)
        pull
        echo "The weights are there."
        exec sleep infinity
        ;;
    there) [ -e "$note" ] ;;
    wait)
        [ -e "$note" ] || echo "Waiting for the weights in $folder (see the pod octavia-weights)."
        until [ -e "$note" ]; do sleep "$every"; done
        ;;
    *) echo "containers/weights.sh pull|keep|there|wait" >&2; exit 2 ;;
esac
