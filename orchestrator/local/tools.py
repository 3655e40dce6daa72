"""The programs Octavia runs, looked for before anything is started."""

import shutil
from collections.abc import Iterable, Mapping

from orchestrator.errors import OctaviaError

CONTROL_PLANE: Mapping[str, str] = {"ffmpeg": "ffmpeg", "ffprobe": "ffmpeg"}
MODEL_PLANE: Mapping[str, str] = {"espeak-ng": "espeak-ng"}
"""Program and the package it comes in, under the same name in Debian, Ubuntu, Fedora and Homebrew."""


class MissingToolsError(OctaviaError):
    def __init__(self, programs: Iterable[str], packages: Iterable[str]) -> None:
        message = f"Not found on PATH: {', '.join(programs)}. Install it, on Debian or Ubuntu: "
        super().__init__("missing_tools", message + f"sudo apt-get install {' '.join(packages)}", 503)


def require(tools: Mapping[str, str]) -> None:
    """Raises MissingToolsError, which names every program that is not on PATH and the packages to install."""
    missing = {program: package for program, package in tools.items() if shutil.which(program) is None}
    if missing:
        raise MissingToolsError(missing, dict.fromkeys(missing.values()))
