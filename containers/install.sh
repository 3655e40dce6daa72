#!/usr/bin/env bash
# Makes a virtual environment with one plane: its part of the lock, and its own package.
# Usage: containers/install.sh control|models VENV [PYTHON]
# TORCH_INDEX_URL says where torch comes from for models: https://download.pytorch.org/whl/cpu, or a CUDA build's.
set -euo pipefail
cd "$(dirname "$0")/.."
plane=${1:?control or models}
venv=${2:?a folder for the environment}
python=${3:-python3.11}
index=${TORCH_INDEX_URL:-}

case $plane in
    control) package=orchestrator other=serve ;;
    models) package=serve other=orchestrator ;;
    *) echo "containers/install.sh: there is no plane '$plane', only control and models" >&2; exit 2 ;;
esac

"$python" -m venv "$venv"
pip=("$venv/bin/pip" --disable-pip-version-check --quiet --no-cache-dir)

if [ "$plane" = models ]; then
    # First and alone: any other order lets a dependency pull another build.
    "${pip[@]}" install ${index:+--index-url "$index"} torch==2.13.0
fi
"${pip[@]}" install --no-deps --requirement "containers/$plane.lock"
if [ "$plane" = models ]; then
    "${pip[@]}" install --no-deps whisperx==3.8.6
    # As in scripts/install.sh: beside a CPU torch torchaudio's extension takes the import down with it.
    if "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then
        rm -f "$venv"/lib/python3*/site-packages/torchaudio/lib/_torchaudio*.so
    fi
fi

# Our own package, built by the build system of the lock in an environment that does not stay.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"$python" -m venv "$build/venv"
grep -E '^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==' requirements.lock >"$build/requirements.txt"
"$build/venv/bin/pip" --disable-pip-version-check --quiet --no-cache-dir install --no-deps --requirement "$build/requirements.txt"
"$build/venv/bin/pip" --disable-pip-version-check --quiet wheel --no-deps --no-build-isolation --wheel-dir "$build" .
"${pip[@]}" install --no-deps "$build"/octavia-*.whl
# The other plane's code has nothing to do here.
rm -rf "$venv"/lib/python3*/site-packages/"$other"
"$venv/bin/python" -m compileall -q "$venv"/lib/python3*/site-packages/"$package"
