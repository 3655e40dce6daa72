"""The voices there are: which one a request means, and the loaded ones, shared by all who hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from serve.errors import invalid, not_found
from serve.models.base import WeightSet, base_language
from serve.models.vits import Precision, VitsVoice
from serve.models.voice import Clip, Recent, Timbre, Voice
from serve.models.voice_files import Cloning, kind_of, own_cloning, sample_rate_of, speakers_of, speeds_of
from serve.models.voice_length import CHARACTERS_PER_S

SPEEDS = (0.5, 2.0)
TIMBRES = 64
ANY = "*"


@dataclass(eq=False)
class Loaded:
    """A voice in memory, with the timbres of the clips it last spoke like."""

    voice: Voice
    clips: Recent[Timbre] = field(default_factory=lambda: Recent(TIMBRES))

    def timbre(self, speaker: str, clip: Clip | None) -> Timbre:
        """That of the clip, else of the voice's own speaker."""
        if clip is None:
            return self.voice.own(speaker)
        return self.clips.get(clip.digest, lambda: self.voice.like(clip))


@dataclass(frozen=True)
class KnownVoice:
    """A voice on disk. `converter`: weights that make it speak like a clip, where it cannot itself."""

    weight: WeightSet
    converter: WeightSet | None

    @cached_property
    def languages(self) -> list[str]:
        """What it speaks, its main language first."""
        facts = self.weight.facts
        return list(facts.get("languages") or [facts.get("language") or ""])

    @cached_property
    def sample_rate(self) -> int:
        """Hz of what it speaks."""
        return int(self.weight.facts.get("sample_rate") or sample_rate_of(self.weight.folder))

    @cached_property
    def characters_per_s(self) -> float | None:
        """Of text, at its own rate; None where it was not measured."""
        return self.weight.facts.get("characters_per_second")

    @cached_property
    def speeds(self) -> tuple[float, float]:
        """Real speeds it can be asked for: those of its measured curve, within SPEEDS."""
        slowest, fastest = speeds_of(self.weight.folder) or SPEEDS
        return max(slowest, SPEEDS[0]), min(fastest, SPEEDS[1])

    @cached_property
    def cloning(self) -> Cloning | None:
        """How it speaks like a clip, or None."""
        return own_cloning(self.weight.folder) or ("voice_conversion" if self.converter else None)

    def facts(self) -> dict[str, Any]:
        """What is published about it; nothing needs to be loaded for it."""
        return {
            **self.weight.facts,
            "languages": self.languages,
            "sample_rate": self.sample_rate,
            "characters_per_second": self.characters_per_s or CHARACTERS_PER_S,
            "speeds": list(self.speeds),
            "speakers": speakers_of(self.weight.folder),
            "cloning": self.cloning,
            "converter": self.converter.name if self.converter and self.cloning == "voice_conversion" else None,
        }


class VoiceLibrary:
    """Voices by name. Loading is thread-safe and happens once for all who hold the result."""

    def __init__(self, weights: Sequence[WeightSet], precision: Precision, device: str) -> None:
        converters = [each for each in weights if kind_of(each.folder) == "openvoice"]
        self._converter = converters[0] if converters else None
        self.voices: Mapping[str, KnownVoice] = {
            each.name: KnownVoice(each, None if own_cloning(each.folder) else self._converter)
            for each in weights
            if each not in converters
        }
        self._precision: Precision = precision
        self._device = device
        self._loaded: WeakValueDictionary[str, Loaded] = WeakValueDictionary()
        self._converters: WeakValueDictionary[Path, Any] = WeakValueDictionary()
        self._loading = Lock()

    def resolve(self, voice: str, language: str) -> tuple[str, str]:
        """(name, speaker) of the voice named as NAME or NAME/SPEAKER, else the first of the language, else a stand-in
        for it; NOT_FOUND when there is none.
        """
        if voice:
            name, _, speaker = voice.partition("/")
            if name in self.voices:
                return name, speaker
            raise not_found(f"there is no voice '{name}'; loaded voices: {self._known()}")
        wanted = base_language(language)
        own = [
            name
            for name, known in self.voices.items()
            if not wanted or wanted in [base_language(each) for each in known.languages]
        ]
        stand_ins = [
            name for name, known in self.voices.items() if _stands_in(known.weight.facts.get("stand_in_for"), wanted)
        ]
        if not own + stand_ins:
            raise not_found(f"there is no voice for language '{language}'; loaded voices: {self._known()}")
        return (own + stand_ins)[0], ""

    def check_cloning(self, name: str, speaker: str, row: int) -> None:
        """INVALID_ARGUMENT when a clip is sent for a voice that cannot speak like it, naming those that can."""
        if speaker:
            raise invalid(f"REFERENCE row {row}: VOICE names the speaker '{speaker}' already; send one or the other")
        if self.voices[name].cloning is None:
            able = ", ".join(each for each, known in self.voices.items() if known.cloning) or "none"
            raise invalid(f"REFERENCE row {row}: voice '{name}' cannot speak like a clip; voices that can: {able}")

    def open(self, name: str) -> tuple[Loaded, bool]:
        """The loaded voice, and whether it was loaded just now."""
        loaded = self._loaded.get(name)
        if loaded is not None:
            return loaded, False
        with self._loading:
            loaded = self._loaded.get(name)
            if loaded is not None:
                return loaded, False
            fresh = Loaded(self._load(self.voices[name]))
            self._loaded[name] = fresh
            return fresh, True

    def _load(self, known: KnownVoice) -> Voice:
        folder = known.weight.folder
        voice: Voice
        if kind_of(folder) == "xtts":
            from serve.models.xtts import XttsVoice  # noqa: PLC0415 - imports transformers

            voice = XttsVoice(folder, self._device)
        else:
            voice = VitsVoice(folder, self._precision, self._device)
        return self._convertible(voice, known.converter.folder) if known.converter else voice

    def _convertible(self, voice: Voice, folder: Path) -> Voice:
        """The voice with the converter in folder behind it, which all voices share."""
        from serve.models.voice_conversion import ConvertedVoice, OpenVoiceConverter  # noqa: PLC0415 - imports librosa

        converter = self._converters.get(folder)
        if converter is None:
            converter = self._converters[folder] = OpenVoiceConverter(folder, self._device)
        return ConvertedVoice(voice, converter)

    def _known(self) -> str:
        return ", ".join(f"{name} ({known.languages[0]})" for name, known in self.voices.items()) or "none"


def _stands_in(languages: Any, wanted: str) -> bool:
    return languages == ANY or wanted in (languages or ())
