"""The voices a command asks for."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.local.job import Wish

CLONING = ["--clone-voices", "--cloning-consent"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["dub", "--to", "es"], {}),
        (["dub", "--to", "es", "--gender", "female", "--speakers", "2"], {"gender": "female", "speakers": 2}),
        (["dub", "--to", "es", *CLONING], {"clone_voices": True, "cloning_consent": True}),
        (["dub", "--to", "es", "--clone-voices"], {"clone_voices": True}),  # which the API refuses, with the reason
        (["speak-subtitles", "--gender", "male"], {"gender": "male"}),
    ],
)
def test_the_voices_of_a_dub_are_asked_for_as_the_command_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], options: dict[str, object]
) -> None:
    wishes: list[Wish] = []

    async def perform(wish: Wish) -> None:
        wishes.append(wish)

    monkeypatch.setattr(cli, "_perform", perform)
    file = tmp_path / "a.srt"
    file.touch()
    result = CliRunner().invoke(cli.app, [*arguments, str(file)])
    assert result.exit_code == 0, result.output
    (wish,) = wishes
    assert wish.request({"id": "m", "kind": "video"}).get("options", {}) == options
