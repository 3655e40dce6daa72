"""Which voice speaks a segment, how fast it can, and like whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.capabilities import Capabilities, Voice
from orchestrator.database import patiently
from orchestrator.dubbing.pace import VoiceSpeeds
from orchestrator.errors import OctaviaError
from orchestrator.inference import Reference
from orchestrator.jobs import rows
from orchestrator.jobs.context import current
from orchestrator.jobs.diarizing import EVERYBODY, clip_of
from orchestrator.jobs.models import Job, JobSpeaker, SegmentRow


@dataclass(frozen=True, slots=True)
class Speaker:
    """The voice that speaks, the real speeds it is asked for, and the clip it is to sound like."""

    voice: str
    speeds: VoiceSpeeds
    like: Reference | None = None


class NoVoiceError(OctaviaError):
    def __init__(self, language: str, name: str | None) -> None:
        wanted = f"voice '{name}'" if name else f"voice for '{language}'"
        super().__init__("no_voice", f"There is no {wanted}. `octavia models list` shows the voices there are.", 422)


async def speakers_of(job: Job, language: str, segments: Sequence[SegmentRow]) -> list[Speaker]:
    """Who speaks each segment in a language. Raises NoVoiceError."""
    cast = {each.name: each for each in await patiently(current().engine, lambda at: rows.speakers(at, str(job.id)))}
    known = await current().models.capabilities_patiently()
    wanted = [(segment.speaker, (segment.voices or {}).get(language)) for segment in segments]
    found = {
        (name, own): await _speaker(job, language, cast_for(cast, name), own, known)
        for name, own in dict.fromkeys(wanted)
    }
    return [found[each] for each in wanted]


def cast_for(cast: Mapping[str, JobSpeaker], speaker: str | None) -> JobSpeaker | None:
    """Who of a job's speakers says what `speaker` does: that one, or for a name nobody has, whoever says most."""
    named = cast.get(speaker or EVERYBODY)
    return named or max(cast.values(), key=lambda each: (each.seconds, each.name), default=None)


async def _speaker(job: Job, language: str, cast: JobSpeaker | None, own: str | None, known: Capabilities) -> Speaker:
    """The segment's `own` voice, else the one its speaker was given, else that of the job.

    Whoever is cloned sounds like themselves in no other voice than the one that clones them.
    """
    usual = cast.voices.get(language) if cast else None
    given = own or usual
    voice = known.voice_for(language, given) if given else voice_of(job, language, known)
    if voice is None:
        raise NoVoiceError(language, given)
    clip = await clip_of(cast) if cast and voice.cloning and given == usual else None
    return Speaker(voice.name, speeds_of(job, voice), Reference(*clip) if clip else None)


def speeds_of(job: Job, voice: Voice) -> VoiceSpeeds:
    """The speeds a voice had when the job began, less any that it has lost since."""
    kept = job.voice_speeds.get(voice.name)
    return VoiceSpeeds.read(kept).within(voice.speeds) if kept else voice.speeds


def voice_of(job: Job, language: str, known: Capabilities) -> Voice:
    """The voice of a job in a language. Raises NoVoiceError."""
    name = job.voices.get(language) or job.options.get("voice")
    voice = known.voice_for(language, name, job.options.get("gender"))
    if voice is None:
        raise NoVoiceError(language, name)
    return voice
