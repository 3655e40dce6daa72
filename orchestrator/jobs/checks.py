"""Whether a job can be done at all: its kind against its media, its languages against the models. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.capabilities import PIVOT, Capabilities, base
from orchestrator.dubbing.balance import Mix
from orchestrator.errors import OctaviaError
from orchestrator.jobs.kinds import DUBBED, OF_SUBTITLES, SPOKEN
from orchestrator.jobs.schemas import JobOptions, JobRequest, Languages, RouteView, VoiceView
from orchestrator.media.models import Media

CAN_GET = {
    "speech": "can be spoken",
    "subtitles": "subtitles only, no voice",
    "nothing": "nothing, no translation",
}


class UnfitMediaError(OctaviaError):
    """The media lacks what this kind of job works on."""

    def __init__(self, message: str) -> None:
        super().__init__("unfit_media", message, 422)


class SourceLanguageNeededError(OctaviaError):
    """The text of a subtitle file does not tell its language for certain."""

    def __init__(self, media: Media) -> None:
        super().__init__(
            "source_language_needed",
            f"The language of '{media.filename}' cannot be told for certain from its text. Give source_language.",
            422,
        )


class UnavailableLanguageError(OctaviaError):
    """No model knows a language or leads to it.

    `available` are those that would do; `targets` says what each target language asked for can get.
    """

    def __init__(self, code: str, message: str, available: Iterable[str], offers: Sequence["Offer"] = ()) -> None:
        names = sorted(available)
        said = f"{message} Available: {', '.join(names) or 'none'}."
        if offers:
            said += f" What can be had: {'; '.join(f'{each.language}: {CAN_GET[each.can]}' for each in offers)}."
        super().__init__(code, said, 422, available=names, targets={each.language: each.can for each in offers})


class NoSeparationError(OctaviaError):
    """Nothing is configured that could take the voices out of the original."""

    def __init__(self) -> None:
        super().__init__(
            "no_separation",
            "keep_background needs a model that takes the voices out of the original's sound, and none is configured "
            "here. Ask for options.mix 'voice_over' or 'replace'; the operator can set OCTAVIA_SEPARATE.",
            422,
        )


class NoCloningError(OctaviaError):
    """No voice of the language can speak like somebody else."""

    def __init__(self, languages: Iterable[str]) -> None:
        super().__init__(
            "no_cloning",
            f"Voices cannot be cloned for {', '.join(languages)} here: no voice of the language can speak like "
            "somebody else, or its licence does not allow it. Ask without options.clone_voices for a voice of ours; "
            "GET /v1/languages shows which voices clone.",
            422,
        )


class NoDiarizationError(OctaviaError):
    """Nothing is configured that could tell speakers apart."""

    def __init__(self) -> None:
        super().__init__(
            "no_diarization",
            "Nothing here tells speakers apart, so all are spoken with one voice. Ask without options.speakers; the "
            "operator can set OCTAVIA_DIARIZE.",
            422,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a target language `can` get: "speech" (with subtitles), "subtitles", or "nothing"; `lack` says why no more.

    `lack` is a code, a message, and what there is instead; None where nothing lacks.
    """

    language: str
    can: str
    lack: tuple[str, str, frozenset[str]] | None


@dataclass(frozen=True, slots=True)
class Way:
    """From which language a job goes into which; `source` None: it is heard."""

    source: str | None
    targets: list[str]


def check_media(request: JobRequest, media: Media) -> None:
    """Raises UnfitMediaError with what to do instead."""
    if request.kind in OF_SUBTITLES:
        if media.subtitles is None:
            raise UnfitMediaError(
                f"'{media.filename}' is no subtitle file. Upload srt, vtt, ass, ssa or txt, or ask for the kind "
                "'subtitles' to have some made."
            )
        return
    if media.subtitles is not None:
        raise UnfitMediaError(
            f"'{media.filename}' is a subtitle file, in which nothing is heard. Ask for the kind "
            "'subtitle_translation' or 'subtitle_to_audio' instead."
        )
    if not media.has_audio:
        raise UnfitMediaError(
            f"'{media.filename}' has no audio track, so there is nothing to hear. Upload one that has."
        )
    if request.kind == "video_translation" and media.video is None:
        raise UnfitMediaError(f"'{media.filename}' has no picture. Ask for the kind 'audio_translation' instead.")


def languages_of(request: JobRequest, media: Media) -> Way:
    """The languages of a job. A subtitle file's own is told by its text where the request does not say it, and is the
    one spoken where no other is asked for.

    Raises SourceLanguageNeededError.
    """
    source = request.source_language
    if request.kind not in OF_SUBTITLES or media.subtitles is None:
        return Way(source, request.target_languages)
    source = source or media.subtitles["language"]
    if source is None:
        raise SourceLanguageNeededError(media)
    return Way(source, request.target_languages or [source])


def check_voices(options: JobOptions, asked: Way, known: Capabilities) -> None:
    """Raises NoCloningError, NoDiarizationError where the loaded models cannot give the voices that are asked for."""
    if options.clone_voices:
        own = asked.source and base(asked.source)
        dubbed = [target for target in asked.targets if base(target) != own]
        without = [target for target in dubbed if known.cloning_voice(target) is None]
        if without:
            raise NoCloningError(without)
    if options.speakers is not None and options.speakers > 1 and known.diarizer is None:
        raise NoDiarizationError


def check_mix(mix: str | None, known: Capabilities) -> None:
    """Raises NoSeparationError where the loaded models cannot mix a dub so."""
    if mix not in (None, *mixes(known)):
        raise NoSeparationError


def mixes(known: Capabilities) -> list[Mix]:
    """The ways in which a dub can be mixed with the original's sound."""
    return ["replace", "voice_over", *(("keep_background",) if known.separator else ())]


def check_languages(request: JobRequest, asked: Way, known: Capabilities) -> None:
    """Raises UnavailableLanguageError for a language, pair or voice that the loaded models do not have.

    It says for each target language what it can get.
    """
    source = asked.source
    if source is not None and request.kind not in OF_SUBTITLES and not known.hears(source):
        raise UnavailableLanguageError("unknown_language", f"The language '{source}' cannot be heard.", known.heard)
    offers = [_offer(request, source, target, known) for target in asked.targets]
    enough = ("speech",) if request.kind in SPOKEN else ("speech", "subtitles")
    for offer in offers:
        if offer.can not in enough and offer.lack is not None:
            raise UnavailableLanguageError(*offer.lack, offers)


def _offer(request: JobRequest, source: str | None, target: str, known: Capabilities) -> Offer:
    same = source is not None and base(source) == base(target)
    if same and request.kind in DUBBED:  # its own sound is kept
        return Offer(target, "speech", None)
    if not same and target not in known.target_languages() and not _leads(source, target, known):
        message = f"There is no translation into '{target}'."
        return Offer(target, "nothing", ("unknown_language", message, known.target_languages()))
    if source is not None and not same and not known.route(source, target):
        message = f"There is no model that translates '{source}' into '{target}', nor a way through '{PIVOT}'."
        return Offer(target, "nothing", ("no_translation", message, known.targets(source)))
    name = request.options.voice
    if known.voice_for(target, name) is None:
        message = f"There is no voice '{name}'." if name else f"There is no voice for '{target}'; ask for subtitles."
        return Offer(target, "subtitles", ("no_voice", message, frozenset(voice.name for voice in known.voices)))
    return Offer(target, "speech", None)


def _leads(source: str | None, target: str, known: Capabilities) -> bool:
    """Whether a region's language does for it: pt for pt-PT."""
    return source is not None and bool(known.route(source, target))


def notices(kind: str, asked: Way, options: JobOptions, known: Capabilities) -> list[tuple[str, str]]:
    """What to know of a job that can be done, as (code, message), each once."""
    found: dict[tuple[str, str], None] = {}
    for target in asked.targets:
        found |= dict.fromkeys(remarks(kind, asked.source, target, options, known))
    return list(found)


def remarks(
    kind: str, source: str | None, target: str, options: JobOptions, known: Capabilities
) -> list[tuple[str, str]]:
    """What to tell the user of a pair that can be had, as (code, message); `source` None: not known yet."""
    if source is not None and base(source) == base(target):
        kept = {"subtitle_translation": "text", "subtitle_to_audio": ""}.get(kind, "own sound")
        if kept:
            return [("same_language", f"The file is already in '{target}': its {kept} is kept.")]
    found = []
    if source is not None and any(pair.toy for pair in known.route(source, target)):
        found.append(
            (
                "toy_translation",
                f"The translation '{source}' to '{target}' is a toy that knows the sample and everyday phrases. "
                "Other text comes out wrong; the standard set has real models.",
            )
        )
    speaker = known.voice_for(target, options.voice, options.gender) if kind in SPOKEN else None
    if speaker is not None and options.gender and speaker.gender != options.gender:
        message = f"There is no {options.gender} voice for '{target}': '{speaker.name}' speaks instead."
        found.append(("no_voice_of_gender", message))
    if speaker is not None and base(speaker.language) != base(target):
        found.append(
            (
                "stand_in_voice",
                f"No voice for '{target}' is installed: '{speaker.name}', a voice for '{speaker.language}', stands in. "
                "Text and timing are right; the speech is not intelligible.",
            )
        )
    return found


def languages(known: Capabilities) -> Languages:
    """Every pair with its way and its voice."""
    sources = sorted({pair.source for pair in known.pairs})
    return Languages(
        heard=sorted(known.heard),
        routes=[_route(known, source, target) for source in sources for target in sorted(known.targets(source))],
        voices=[VoiceView.model_validate(voice) for voice in known.voices],
        mixes=mixes(known),
        speakers_told_apart=known.diarizer is not None,
    )


def _route(known: Capabilities, source: str, target: str) -> RouteView:
    route, voice = known.route(source, target), known.voice_for(target)
    return RouteView(
        source=source,
        target=target,
        via=PIVOT if len(route) > 1 else None,
        toy=any(pair.toy for pair in route),
        voice=voice.name if voice else None,
        stand_in=voice is not None and voice.language != target,
    )
