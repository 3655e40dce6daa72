#!/usr/bin/env bash
# The weights in the folder OCTAVIA_WEIGHTS_DIR. Usage: containers/weights.sh pull|keep|bake|there|wait
#   pull   fetch, verify and convert what the settings ask for, and note that it is there
#   keep   the same, then stay: a pod that ends would be started again
#   bake   the same into an image, where nothing can be fetched later
#   there  exit 0 when what the settings ask for is noted
#   wait   until it is; exit 1 where other weights were baked
set -euo pipefail
folder=${OCTAVIA_WEIGHTS_DIR:?where the weights lie}
repository=${OCTAVIA_MODEL_REPO:?the model repository}
python=${OCTAVIA_PYTHON:-python}
every=${OCTAVIA_WAIT_EVERY_S:-5}

# The settings that say which weights are wanted (serve/weights.py). An empty one is one that is not given.
choosing=(WEIGHTS LANGUAGES WHISPER VOICES ALIGN DIARIZE SEPARATE SPEECH_QUALITY SPEAKER_EMBEDDING BILLING ALLOW_WEIGHTS)
for name in "${choosing[@]/#/OCTAVIA_}"; do
    [ -n "${!name:-}" ] || unset "$name"
done

wanted() {
    local name
    for name in "${choosing[@]/#/OCTAVIA_}"; do
        [ -z "${!name:-}" ] || echo "$name=${!name}"
    done
}

# Other settings or another catalogue ask for other weights.
note=$folder/.pulled/$({ wanted; cat "$repository/catalogue.toml"; } | sha256sum | cut -c1-16)
baked=$folder/.baked

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
    bake)
        pull
        wanted >"$baked"
        ;;
    there) [ -e "$note" ] ;;
    wait)
        if [ -e "$baked" ] && [ ! -e "$note" ]; then
            {
                echo "The image has other weights than the settings ask for. Baked were, with the catalogue of then:"
                sed 's/^/    /' "$baked"
                echo "wanted are:"
                wanted | sed 's/^/    /'
                echo "Build the image with these as its arguments (OCTAVIA_WEIGHTS as BAKE_WEIGHTS), or change the settings."
            } >&2
            exit 1
        fi
        [ -e "$note" ] || echo "Waiting for the weights in $folder (see the pod octavia-weights)."
        until [ -e "$note" ]; do sleep "$every"; done
        ;;
    *) echo "containers/weights.sh pull|keep|bake|there|wait" >&2; exit 2 ;;
esac
