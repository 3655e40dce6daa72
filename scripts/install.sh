#!/usr/bin/env bash
# Makes .venv with the locked set of versions. Usage: scripts/install.sh [PYTHON]
# TORCH_INDEX_URL, e.g. https://download.pytorch.org/whl/cpu, says where torch comes from; unset means pip's own index,
# or the torch that is there. .venv/.installed remembers it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3.11}
venv=.venv
stamp=$venv/.installed
index=${TORCH_INDEX_URL:-}

# A venv that was broken off has a python and no pip.
[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
pip=("$venv/bin/pip" --disable-pip-version-check --quiet)

recorded=$(cat "$stamp" 2>/dev/null || true)
if [ -n "$index" ] && [ -e "$stamp" ] && [ "$index" != "$recorded" ]; then
    # Builds of one version differ by their index alone, so pip would keep the old one.
    "${pip[@]}" uninstall --yes torch torchaudio
fi
rm -f "$stamp"

# torch first and alone: any other order lets a dependency pull a CUDA build of several gigabytes.
"${pip[@]}" install ${index:+--index-url "$index"} torch==2.13.0
# The lock names every package, so nothing is resolved again.
"${pip[@]}" install --no-deps --requirement requirements.lock
# whisperx pins torch and huggingface-hub to versions nothing else here can live with; its code runs on ours.
"${pip[@]}" install --no-deps whisperx==3.8.6
"${pip[@]}" install --no-deps --no-build-isolation --editable .

# PyPI's torchaudio is a CUDA build: beside a CPU torch its extension cannot load and takes the import down with it.
# Without the extension everything we use of torchaudio is pure Python.
if "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then
    rm -f "$venv"/lib/python3*/site-packages/torchaudio/lib/_torchaudio*.so
fi
echo "${index:-$recorded}" >"$stamp"
