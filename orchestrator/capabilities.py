"""What the model plane can do with each language, as its models' configurations tell it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
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
    languages: frozenset[str] = frozenset()
    """All it speaks, where those are several."""
    speakers: tuple[str, ...] = ()
    """Its speakers, each a voice NAME/SPEAKER, where it has several."""
    cloning: str | None = None
    """How it speaks like a clip ("xtts", "d_vector", "voice_conversion"); None where it cannot."""

    @property
    def all_names(self) -> list[str]:
        """What it can be asked for by to sound different each time."""
        return [f"{self.name}/{speaker}" for speaker in self.speakers] or [self.name]

    def speaks(self, language: str) -> bool:
        """Whether the language is one of its own, whatever the region."""
        return base(language) in {base(each) for each in (self.language, *self.languages)}

    def stands_in(self, language: str) -> bool:
        return bool(self.stand_in_for & {language, base(language), ANY_LANGUAGE})


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The languages that can be heard, the pairs that can be translated, the voices that can speak.

    `separator`: the weights that take the voices out of music, where a model is configured for that. `diarizer`: those
    that tell speakers apart.
    """

    heard: frozenset[str]
    pairs: tuple[Pair, ...]
    voices: tuple[Voice, ...]
    separator: str | None = None
    diarizer: str | None = None

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

    def voice_for(self, language: str, name: str | None = None, gender: str | None = None) -> Voice | None:
        """The voice for a language: the one named, else one of that language, else a stand-in, else none.

        Where there are several, one of the gender.
        """
        if name is not None:
            return self._named(name)
        chosen = self.voices_for(language, gender)
        return chosen[0] if chosen else None

    def voices_for(self, language: str, gender: str | None = None) -> list[Voice]:
        """The voices of a language, else its stand-ins: of the exact region first, among those the ones of the gender.

        With a gender, all are of it if any is.
        """
        able = [each for each in self.voices if each.speaks(language)]
        able = able or [each for each in self.voices if each.stands_in(language)]
        wanted = [each for each in able if each.gender == gender] if gender else []
        return sorted(wanted or able, key=lambda each: each.language != language)

    def _named(self, name: str) -> Voice | None:
        """The voice NAME, or NAME/SPEAKER of one with that speaker."""
        own, _, speaker = name.partition("/")
        found = next((voice for voice in self.voices if voice.name in (name, own)), None)
        if found is None or found.name == name:
            return found
        return replace(found, name=name) if speaker in found.speakers else None

    def cloning_voice(self, language: str) -> Voice | None:
        """A voice of the language that can speak like somebody else; no stand-in."""
        able = [each for each in self.voices if each.cloning and each.speaks(language)]
        return min(able, key=lambda each: each.language != language, default=None)

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
    diarize: Iterable[Mapping[str, Any]] = (),
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
                languages=frozenset(entry.get("languages") or ()),
                speakers=tuple(entry.get("speakers") or ()),
                cloning=entry.get("cloning"),
                speeds=_speeds(entry),
            )
            for entry in coqui_tts
        ),
        separator=next((str(entry["name"]) for entry in separate), None),
        diarizer=next((str(entry["name"]) for entry in diarize), None),
    )


def _speeds(entry: Mapping[str, Any]) -> VoiceSpeeds:
    """From `speeds` (slowest and fastest real speed) and, of a voice that does not hit a real speed by itself,
    `asked_speeds` (pairs of the speed asked for and the real one, rising).
    """
    slowest, fastest = entry.get("speeds") or (ALL_SPEEDS.slowest, ALL_SPEEDS.fastest)
    return VoiceSpeeds(slowest, fastest, tuple((asked, real) for asked, real in entry.get("asked_speeds") or ()))
