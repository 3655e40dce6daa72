"""Whether a job can be done at all: its kind against its media, its languages against the models. Pure."""

from collections.abc import Iterable

from orchestrator.capabilities import PIVOT, Capabilities
from orchestrator.errors import OctaviaError
from orchestrator.jobs.schemas import JobRequest, Languages, RouteView, VoiceView
from orchestrator.media.models import Media


class UnfitMediaError(OctaviaError):
    """The media lacks what this kind of job works on."""

    def __init__(self, message: str) -> None:
        super().__init__("unfit_media", message, 422)


class UnavailableLanguageError(OctaviaError):
    """No model knows the language or leads to it; `available` are those that would do."""

    def __init__(self, code: str, message: str, available: Iterable[str]) -> None:
        names = sorted(available)
        super().__init__(code, f"{message} Available: {', '.join(names) or 'none'}.", 422, available=names)


def check_media(request: JobRequest, media: Media) -> None:
    """Raises UnfitMediaError with what to do instead."""
    if not media.has_audio:
        raise UnfitMediaError(
            f"'{media.filename}' has no audio track, so there is nothing to hear. Upload one that has."
        )
    if request.kind == "video_translation" and media.video is None:
        raise UnfitMediaError(f"'{media.filename}' has no picture. Ask for the kind 'audio_translation' instead.")


def check_languages(request: JobRequest, known: Capabilities) -> None:
    """Raises UnavailableLanguageError for a language, pair or voice that the loaded models do not have."""
    source = request.source_language
    if source is not None and not known.hears(source):
        raise UnavailableLanguageError("unknown_language", f"The language '{source}' cannot be heard.", known.heard)
    for target in request.target_languages:
        if target == source:
            continue
        if target not in known.target_languages():
            message = f"There is no translation into '{target}'."
            raise UnavailableLanguageError("unknown_language", message, known.target_languages())
        if source is not None and not known.route(source, target):
            message = f"There is no model that translates '{source}' into '{target}', nor a way through '{PIVOT}'."
            raise UnavailableLanguageError("no_translation", message, known.targets(source))
        if request.kind != "subtitles":
            _check_voice(request.options.voice, target, known)


def _check_voice(name: str | None, language: str, known: Capabilities) -> None:
    if known.voice_for(language, name) is None:
        wanted = f"There is no voice '{name}'." if name else f"There is no voice for '{language}'; ask for subtitles."
        raise UnavailableLanguageError("no_voice", wanted, (voice.name for voice in known.voices))


def languages(known: Capabilities) -> Languages:
    """Every pair with its way and its voice."""
    sources = sorted({pair.source for pair in known.pairs})
    return Languages(
        heard=sorted(known.heard),
        routes=[_route(known, source, target) for source in sources for target in sorted(known.targets(source))],
        voices=[VoiceView.model_validate(voice) for voice in known.voices],
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
