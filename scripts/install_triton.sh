#!/usr/bin/env bash
# Makes .venv-triton: a real Triton server with what it needs to serve model_repo/. Usage: scripts/install_triton.sh [PYTHON]
# TORCH_INDEX_URL as for scripts/install.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-/usr/bin/python3.11}
venv=.venv-triton
index=${TORCH_INDEX_URL:-}

[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
rm -f "$venv/.installed"
pip=("$venv/bin/pip" --disable-pip-version-check --quiet)
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')

"${pip[@]}" install ${index:+--index-url "$index"} torch==2.13.0
grep -v '^numpy==' requirements.lock >"$venv/constraints.txt"
"${pip[@]}" install --no-deps --requirement scripts/triton-requirements.txt --constraint "$venv/constraints.txt"

# As in scripts/install.sh: beside a CPU torch torchaudio's extension takes the import down with it.
if "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then
    rm -f "$packages"/torchaudio/lib/_torchaudio*.so
fi

# The python backend runs models in the interpreter this stub is built for; it looks for the stub beside itself.
server=$packages/pytriton/tritonserver
cp "$server/python_backend_stubs/3.11/triton_python_backend_stub" "$server/backends/python/"
if ldd "$server/backends/python/triton_python_backend_stub" | grep 'libpython.*not found'; then
    echo "Triton's python backend needs Python's shared library: apt-get install libpython3.11" >&2
    exit 1
fi
touch "$venv/.installed"
