from pathlib import Path

import pytest

from orchestrator.local import tools
from orchestrator.local.tools import MissingToolsError, require


def install(folder: Path, *programs: str) -> None:
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)


def test_programs_that_are_there_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "ffmpeg", "ffprobe", "espeak-ng")
    monkeypatch.setenv("PATH", str(tmp_path))
    require({**tools.CONTROL_PLANE, **tools.MODEL_PLANE})


def test_every_missing_program_is_named_and_each_package_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolsError) as error:
        require({**tools.CONTROL_PLANE, **tools.MODEL_PLANE})
    assert "ffmpeg, ffprobe, espeak-ng" in error.value.message
    assert error.value.message.endswith("apt-get install ffmpeg espeak-ng")
    assert "\n" not in error.value.message


def test_only_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "ffmpeg", "ffprobe")
    monkeypatch.setenv("PATH", str(tmp_path))
    require(tools.CONTROL_PLANE)
    with pytest.raises(MissingToolsError) as error:
        require({**tools.CONTROL_PLANE, **tools.MODEL_PLANE})
    assert "ffmpeg" not in error.value.message
