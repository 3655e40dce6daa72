"""Which voices a language has: by region, gender and speaker, and which of them can speak like somebody else."""

from typing import Any

import pytest

from orchestrator.capabilities import Capabilities, Voice, read_capabilities
from orchestrator.dubbing.pace import ALL_SPEEDS


def voice(name: str, language: str, gender: str | None = None, **more: Any) -> Voice:
    return Voice(name, language, gender, "CC0-1.0", True, more.pop("stand_in_for", frozenset()), 15.0, **more)


KNOWN = Capabilities(
    heard=frozenset(),
    pairs=(),
    voices=(
        voice("rosa", "pt", "female"),
        voice("joao", "pt-BR", "male"),
        voice("choir", "de", speakers=("alto", "bass")),
        voice("parrot", "fr", languages=frozenset({"fr", "pt"}), cloning="xtts"),
        voice("joe", "en", "male", stand_in_for=frozenset({"*"})),
    ),
)


@pytest.mark.parametrize(
    ("language", "gender", "names"),
    [
        ("pt", None, ["rosa", "joao", "parrot"]),
        ("pt-BR", None, ["joao", "rosa", "parrot"]),
        ("pt-BR", "female", ["rosa"]),
        ("pt", "male", ["joao"]),
        ("de", "male", ["choir"]),  # there is none: better than nothing
        ("fr", "female", ["parrot"]),
        ("ja", "male", ["joe"]),
    ],
)
def test_voices_of_the_gender_are_taken_where_there_are_any(
    language: str, gender: str | None, names: list[str]
) -> None:
    assert [each.name for each in KNOWN.voices_for(language, gender)] == names
    first = KNOWN.voice_for(language, None, gender)
    assert first is not None
    assert first.name == names[0]


@pytest.mark.parametrize(
    ("name", "found"),
    [("choir/bass", "choir/bass"), ("choir", "choir"), ("choir/tenor", None), ("rosa/alto", None), ("nobody", None)],
)
def test_a_speaker_of_a_voice_is_named_behind_it(name: str, found: str | None) -> None:
    chosen = KNOWN.voice_for("de", name)
    assert (chosen.name if chosen else None) == found


def test_a_voice_of_several_speakers_counts_as_several() -> None:
    assert [name for each in KNOWN.voices for name in each.all_names][2:4] == ["choir/alto", "choir/bass"]


@pytest.mark.parametrize(
    ("language", "name"), [("fr", "parrot"), ("pt-BR", "parrot"), ("de", None), ("ja", None), ("en", None)]
)
def test_only_a_voice_of_the_language_itself_clones(language: str, name: str | None) -> None:
    chosen = KNOWN.cloning_voice(language)
    assert (chosen.name if chosen else None) == name


def test_voices_are_read_from_the_models_catalogue() -> None:
    entry = {"name": "parrot", "language": "fr", "licence": "CC0-1.0", "paid_use": True, "characters_per_second": 14.0}
    more = {"languages": ["fr", "it"], "speakers": ["a"], "cloning": "xtts", "gender": "female"}
    known = read_capabilities([], [], [entry | more, entry], diarize=[{"name": "community"}])
    first, second = known.voices
    assert (first.languages, first.speakers, first.cloning) == (frozenset({"fr", "it"}), ("a",), "xtts")
    assert (second.languages, second.speakers, second.cloning) == (frozenset(), (), None)
    assert second.speeds == ALL_SPEEDS
    assert known.diarizer == "community"
