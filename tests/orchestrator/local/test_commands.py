"""What the command line makes of its options."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.local.job import Wish


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[Wish]:
    """The wishes of the commands that are given."""
    given: list[Wish] = []

    async def perform(wish: Wish) -> None:
        given.append(wish)

    monkeypatch.setattr(cli, "_perform", perform)
    return given


def chosen(wish: Wish) -> dict[str, object]:
    return {name: value for name, value in wish.options.items() if value is not None}


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {}),
        (["--mix", "voice-over", "--loudness", "-23"], {"mix": "voice_over", "loudness": -23}),
        (["--mix", "keep-background", "--loudness=-14"], {"mix": "keep_background", "loudness": -14}),
    ],
)
def test_a_dub_is_mixed_as_the_command_says(
    wishes: list[Wish], tmp_path: Path, arguments: list[str], options: dict[str, object]
) -> None:
    (tmp_path / "a.mp4").touch()
    result = CliRunner().invoke(cli.app, ["dub", str(tmp_path / "a.mp4"), "--to", "es", *arguments])
    assert result.exit_code == 0, result.output
    assert chosen(wishes[0]) == options


def test_a_subtitle_file_is_read_aloud_as_loud_as_the_command_says(wishes: list[Wish], tmp_path: Path) -> None:
    (tmp_path / "a.srt").touch()
    result = CliRunner().invoke(cli.app, ["speak-subtitles", str(tmp_path / "a.srt"), "--loudness", "-23"])
    assert result.exit_code == 0, result.output
    assert chosen(wishes[0]) == {"loudness": -23}
