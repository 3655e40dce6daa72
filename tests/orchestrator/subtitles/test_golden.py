import pytest

from tests.orchestrator.subtitles.golden import FOLDER, files

MADE = dict(files())


def test_nothing_else_is_kept() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_subtitles_are_those_that_were_looked_at(name: str) -> None:
    assert MADE[name] == (FOLDER / name).read_text("utf-8")
