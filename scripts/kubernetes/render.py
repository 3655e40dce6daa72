"""Manifests from an overlay, by the kustomize that kubectl carries. We have none of our own: half a kustomize would
render something else than what is deployed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

OLDEST = (1, 27)
TIMEOUT_S = 60
_VERSION = re.compile(r"Client Version: v?(\d+)\.(\d+)")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NoKubectlError(RuntimeError):
    """There is no kubectl that can render."""


class RenderError(RuntimeError):
    """kubectl refused an overlay; the message is its own."""


def find_kubectl() -> str:
    """The kubectl beside this Python, or the one on PATH. Raises NoKubectlError, which says what is there instead."""
    said = []
    for place in (str(Path(sys.executable).with_name("kubectl")), shutil.which("kubectl")):
        if place is None or not Path(place).exists():
            continue
        version = _version(place)
        if version is not None and version >= OLDEST:
            return place
        said.append(f"{place} is {'.'.join(map(str, version)) if version else 'no kubectl'}")
    found = "; ".join(said) or "none was found"
    oldest = ".".join(map(str, OLDEST))
    raise NoKubectlError(
        f"NOTHING WAS RENDERED OR CHECKED: kubectl {oldest} or newer is needed and {found}."
        " scripts/install_kubectl.sh puts one beside Python."
    )


def _version(kubectl: str) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [kubectl, "version", "--client"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(said.stdout)
    return (int(match[1]), int(match[2])) if match else None


def render(folder: Path, kubectl: str) -> list[Manifest]:
    """The manifests of a folder with a kustomization. Raises RenderError."""
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RenderError(f"{folder.name}: {done.stderr.strip()}")
    return [each for each in yaml.load_all(done.stdout, Loader=_Loader) if each]
