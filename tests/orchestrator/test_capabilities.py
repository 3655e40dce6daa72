import pytest

from orchestrator.capabilities import Capabilities, Pair, Voice, read_capabilities


def pair(source: str, target: str) -> Pair:
    return Pair(source, target, "CC-BY-4.0", paid_use=True, toy=False)


def voice(name: str, language: str, stand_in_for: frozenset[str] = frozenset()) -> Voice:
    return Voice(name, language, None, "CC0-1.0", True, stand_in_for, 15.0)


CAPABILITIES = Capabilities(
    heard=frozenset({"en", "es", "de"}),
    pairs=(pair("en", "es"), pair("es", "en"), pair("en", "de")),
    voices=(voice("en-joe", "en", frozenset({"*"})), voice("de-eva", "de")),
)


@pytest.mark.parametrize(
    ("source", "target", "models"),
    [
        ("en", "es", [("en", "es")]),
        ("es", "de", [("es", "en"), ("en", "de")]),
        ("de", "es", []),
        ("en", "ja", []),
        ("en", "en", []),
    ],
)
def test_a_route_is_direct_or_through_english_or_none(source: str, target: str, models: list[tuple[str, str]]) -> None:
    assert [(each.source, each.target) for each in CAPABILITIES.route(source, target)] == models


def test_the_targets_of_a_language_include_those_through_english() -> None:
    assert CAPABILITIES.targets("es") == {"en", "de"}
    assert CAPABILITIES.targets("de") == frozenset()


def test_a_language_is_spoken_by_its_own_voice_before_a_stand_in() -> None:
    german, spanish = CAPABILITIES.voice_for("de"), CAPABILITIES.voice_for("es")
    assert german is not None
    assert german.name == "de-eva"
    assert spanish is not None
    assert spanish.name == "en-joe"


def test_a_voice_asked_for_by_name_is_never_silently_replaced() -> None:
    assert CAPABILITIES.voice_for("es", "es-carlos") is None


def test_without_a_stand_in_a_language_without_a_voice_has_none() -> None:
    only_german = Capabilities(frozenset(), (), (voice("de-eva", "de"),))
    assert only_german.voice_for("es") is None


def test_capabilities_are_read_from_the_models_configurations() -> None:
    capabilities = read_capabilities(
        [{"name": "whisper-base", "languages": ["en", "es"]}],
        [{"source": "en", "target": "es", "licence": "CC0-1.0", "paid_use": True, "toy": True}],
        [
            {
                "name": "en-joe",
                "language": "en",
                "licence": "CC0-1.0",
                "paid_use": False,
                "stand_in_for": "*",
                "characters_per_second": 15.2,
            }
        ],
    )
    assert capabilities.heard == {"en", "es"}
    assert capabilities.pairs == (Pair("en", "es", "CC0-1.0", True, True),)
    assert capabilities.voices[0].stand_in_for == {"*"}
    assert capabilities.separator is None
    assert read_capabilities([], [], [], [{"name": "demucs"}]).separator == "demucs"


def test_a_region_falls_back_to_its_language_and_a_voice_of_another_region_beats_a_stand_in() -> None:
    brazilian = Capabilities(
        frozenset({"en", "pt"}),
        (pair("en", "pt"),),
        (voice("en-joe", "en", frozenset({"*"})), voice("pt-BR-ana", "pt-BR")),
    )
    assert brazilian.hears("en-GB")
    assert brazilian.route("en-US", "pt-BR") == (pair("en", "pt"),)
    assert brazilian.route("en-US", "en-GB") == ()
    portuguese = brazilian.voice_for("pt")
    assert portuguese is not None
    assert portuguese.name == "pt-BR-ana"
