"""What the model plane can do with each language, as its models' configurations tell it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.dubbing.pace import ALL_SPEEDS, VoiceSpeeds

PIVOT = "en"
"""The language through which a pair without a model of its own is translated."""

ANY_LANGUAGE = "*"


def base(language: str) -> str:
    """A BCP 47 code without its region and script: "pt" of "pt-BR"."""
    return language.split("-", maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Pair:
    """One translation model: source and target language (BCP 47), its licence, and whether it is a toy for tests."""

    source: str
    target: str
    licence: str
    paid_use: bool
    toy: bool


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice. `stand_in_for` holds the languages it may speak for want of a voice of their own ("*": any).

    `speeds` are the real speeds it may be asked for.
    """

    name: str
    language: str
    gender: str | None
    licence: str
    paid_use: bool
    stand_in_for: frozenset[str]
    characters_per_second: float
    speeds: VoiceSpeeds = ALL_SPEEDS


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The languages that can be heard, the pairs that can be translated, the voices that can speak.

    `separator`: the weights that take the voices out of music, where a model is configured for that.
    """

    heard: frozenset[str]
    pairs: tuple[Pair, ...]
    voices: tuple[Voice, ...]
    separator: str | None = None

    def route(self, source: str, target: str) -> tuple[Pair, ...]:
        """The models from source to target: one, two by way of English, or none where nothing leads there."""
        if base(source) == base(target):
            return ()
        direct = self._pair(source, target)
        if direct:
            return (direct,)
        there, onward = self._pair(source, PIVOT), self._pair(PIVOT, target)
        return (there, onward) if there and onward else ()

    def targets(self, source: str) -> frozenset[str]:
        """Every language a text in `source` can be translated into."""
        return frozenset(pair.target for pair in self.pairs if self.route(source, pair.target))

    def target_languages(self) -> frozenset[str]:
        return frozenset(pair.target for pair in self.pairs)

    def voice_for(self, language: str, name: str | None = None) -> Voice | None:
        """The voice for a language: the one named, else one of that language, else a stand-in, else none."""
        if name is not None:
            return next((voice for voice in self.voices if voice.name == name), None)
        chosen = (
            [voice for voice in self.voices if voice.language == language]
            or [voice for voice in self.voices if base(voice.language) == base(language)]
            or [voice for voice in self.voices if voice.stand_in_for & {language, base(language), ANY_LANGUAGE}]
        )
        return chosen[0] if chosen else None

    def hears(self, language: str) -> bool:
        return language in self.heard or base(language) in self.heard

    def _pair(self, source: str, target: str) -> Pair | None:
        """The model for exactly these languages, else for the languages without their regions (pt-BR: pt)."""
        for wanted in ((source, target), (base(source), base(target))):
            for pair in self.pairs:
                if (pair.source, pair.target) == wanted:
                    return pair
        return None


def read_capabilities(
    whisper: Iterable[Mapping[str, Any]],
    opus_mt: Iterable[Mapping[str, Any]],
    coqui_tts: Iterable[Mapping[str, Any]],
    separate: Iterable[Mapping[str, Any]] = (),
) -> Capabilities:
    """Capabilities from the `catalogue` parameter of the models' configurations (lists of JSON objects)."""
    return Capabilities(
        heard=frozenset(language for entry in whisper for language in entry["languages"]),
        pairs=tuple(
            Pair(entry["source"], entry["target"], entry["licence"], entry["paid_use"], entry.get("toy", False))
            for entry in opus_mt
        ),
        voices=tuple(
            Voice(
                name=entry["name"],
                language=entry["language"],
                gender=entry.get("gender"),
                licence=entry["licence"],
                paid_use=entry["paid_use"],
                stand_in_for=frozenset(entry.get("stand_in_for") or ()),
                characters_per_second=entry["characters_per_second"],
                speeds=_speeds(entry),
            )
            for entry in coqui_tts
        ),
        separator=next((str(entry["name"]) for entry in separate), None),
    )


def _speeds(entry: Mapping[str, Any]) -> VoiceSpeeds:
    """From `speeds` (slowest and fastest real speed) and, of a voice that does not hit a real speed by itself,
    `asked_speeds` (pairs of the speed asked for and the real one, rising).
    """
    slowest, fastest = entry.get("speeds") or (ALL_SPEEDS.slowest, ALL_SPEEDS.fastest)
    return VoiceSpeeds(slowest, fastest, tuple((asked, real) for asked, real in entry.get("asked_speeds") or ()))
