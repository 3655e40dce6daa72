"""What each page's form asks for: the kind of job, and where its languages and options stand, as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.credits.prices import JobKind
from orchestrator.errors import OctaviaError
from orchestrator.octavia_web.languages import language

PROJECT = "project_id"
LONGEST_PROJECT = 100
TARGETS = ("target_language", "target_lang", "targetLanguage")
SOURCES = ("source_language", "source_lang", "sourceLanguage")


@dataclass(frozen=True, slots=True)
class Form:
    """A page's form. `media`: the kinds of file it takes. `target`, `source`: names of fields, the first one given
    counts. `format`, `voice`: fields of options; None where the page has none. `limit`: the setting that says how large
    the file may be. `plain_text`: a text without times is taken too.
    """

    kind: JobKind
    media: tuple[str, ...]
    limit: str
    target: tuple[str, ...] = TARGETS
    source: tuple[str, ...] = SOURCES
    format: tuple[str, ...] = ()
    voice: tuple[str, ...] = ()
    needs_target: bool = True
    plain_text: bool = False


VIDEO = Form("video_translation", ("video",), "max_video_bytes")
AUDIO = Form("audio_translation", ("audio", "video"), "max_audio_bytes")
SUBTITLES = Form(
    "subtitles",
    ("audio", "video"),
    "max_video_bytes",
    target=("language", *TARGETS),
    format=("format",),
    needs_target=False,
)
SUBTITLE_FILE = Form("subtitle_translation", ("subtitles",), "max_subtitle_bytes")
SUBTITLE_AUDIO = Form(
    "subtitle_to_audio",
    ("subtitles",),
    "max_subtitle_bytes",
    plain_text=True,
    format=("output_format", "format"),
    voice=("voice",),
    needs_target=False,
)


class MissingTargetError(OctaviaError):
    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__("invalid_request", f"Choose the language to translate into ('{fields[0]}').", 400)


class UnknownFormatError(OctaviaError):
    def __init__(self, given: str, known: tuple[str, ...]) -> None:
        super().__init__(
            "invalid_request", f"'{given[:20]}' is not a format we write. Choose one of {', '.join(known)}.", 400
        )


SUBTITLE_FORMATS = ("srt", "vtt", "ass")
SOUND_FORMATS = ("mp3", "wav", "ogg")


def request_of(form: Form, given: Mapping[str, str], voices: frozenset[str]) -> dict[str, Any]:
    """The fields of a /v1 job request but for its media. A voice nobody knows is left out: pages send a made-up one
    when theirs never loaded.

    Raises MissingTargetError, UnknownFormatError, UnknownNameError.
    """
    target, source = language(_first(given, form.target)), language(_first(given, form.source))
    if target is None and form.needs_target:
        raise MissingTargetError(form.target)
    return {
        "kind": form.kind,
        "source_language": source,
        "target_languages": [target] if target else [],
        "options": _options(form, given, voices),
    }


def _options(form: Form, given: Mapping[str, str], voices: frozenset[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if wanted := _first(given, form.format).lower():
        known = SOUND_FORMATS if form.kind == "subtitle_to_audio" else SUBTITLE_FORMATS
        if wanted not in known:
            raise UnknownFormatError(wanted, known)
        if form.kind == "subtitle_to_audio":
            options["format"] = wanted
        else:
            options["formats"] = list(dict.fromkeys(("srt", wanted)))  # the review page reads nothing but SRT
    if (voice := _first(given, form.voice)) in voices:
        options["voice"] = voice
    if project := _first(given, (PROJECT,)):
        options[PROJECT] = project[:LONGEST_PROJECT]
    return options


def _first(given: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((value.strip() for name in names if (value := given.get(name, "")).strip()), "")
