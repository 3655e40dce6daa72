"""The memory of GPUs, as nvidia-smi words it. There is no GPU here: a stand-in speaks its format."""

from pathlib import Path

import pytest

from serve.devices import MIB, gpu_memory


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_only_the_gpus_of_a_replica_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, monkeypatch, "printf '0, 1024, 16384\\n1, 2, 16384\\n'")
    assert gpu_memory([0]) == {0: (1024 * MIB, 16384 * MIB)}


@pytest.mark.parametrize("script", ["exit 9", "echo broken >&2; exit 1"])
def test_where_it_fails_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    nvidia_smi(tmp_path, monkeypatch, script)
    assert gpu_memory([0]) == {}


def test_where_there_is_none_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_memory([0]) == {}
