"""Who speaks in a media, and with which voice each is dubbed.

Each public function is the body of a durable step, as in hearing. Speakers are told apart only where a model is
configured for it; else there is one, named "".
"""

import asyncio
import io
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import soundfile
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.capabilities import Capabilities, base
from orchestrator.database import patiently
from orchestrator.dubbing.pace import VoiceSpeeds
from orchestrator.dubbing.reference import SHORTEST_S, choose
from orchestrator.dubbing.speakers import Turn, alone, around, cast, joined, pieces, seconds_by_speaker
from orchestrator.dubbing.timeline import Interval
from orchestrator.errors import OctaviaError
from orchestrator.inference import SPEECH_RATE, ModelRefusedError
from orchestrator.jobs import keys, progress, rows
from orchestrator.jobs.checks import NoCloningError
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import DUBBED, OF_SUBTITLES
from orchestrator.jobs.models import DiarizedPiece, HeardWindow, Job, JobSpeaker
from orchestrator.jobs.scratch import scratch_folder
from orchestrator.jobs.sound import read_sound, seconds_of_sound
from orchestrator.media.excerpts import extract_excerpts
from orchestrator.media.models import Media

REFERENCE_RATE = 24_000
MOST_PARTS = 60
"""Of the longest stretches of a speaker that are listened to: a clip is made of a few."""
EVERYBODY = ""
"""The one speaker of a media whose speakers are not told apart."""

Samples = npt.NDArray[np.float32]


class NothingToCloneError(OctaviaError):
    """Nobody in the media speaks clearly and alone for long enough."""

    def __init__(self) -> None:
        super().__init__(
            "nothing_to_clone",
            "No voice can be cloned from this file: nobody in it speaks clearly and alone for "
            f"{SHORTEST_S:.0f} seconds. Your credits are back. Ask without options.clone_voices for a voice of ours.",
            422,
        )


async def plan_speakers(job_id: str) -> int:
    """Note the pieces in which speakers are told apart; how many there are (0: nothing does that, or nobody asks)."""

    async def known(session: AsyncSession) -> tuple[Job, int]:
        return await rows.job(session, job_id), await rows.piece_count(session, job_id)

    job, there = await patiently(current().engine, known)
    if there or job.kind in OF_SUBTITLES or job.options.get("speakers") == 1:
        return there
    if (await current().models.capabilities_patiently()).diarizer is None:
        return 0
    planned = [
        {"job_id": UUID(job_id), "index": index, "start": piece.start, "end": piece.end}
        for index, piece in enumerate(pieces(await seconds_of_sound(job_id)))
    ]

    async def store(session: AsyncSession) -> None:
        await session.execute(insert(DiarizedPiece).on_conflict_do_nothing(), planned)

    await patiently(current().engine, store)
    return len(planned)


async def tell_apart(job_id: str, index: int) -> None:
    """Who speaks when in one piece."""

    async def read(session: AsyncSession) -> tuple[Job, DiarizedPiece, int]:
        piece = await session.get_one(DiarizedPiece, (UUID(job_id), index))
        return await rows.job(session, job_id), piece, await rows.piece_count(session, job_id)

    job, piece, count = await patiently(current().engine, read)
    if job.status != "processing" or piece.turns is not None:
        return
    audio = await read_sound(job_id, round(piece.start * SPEECH_RATE), round(piece.end * SPEECH_RATE))
    turns = await _turns(audio, job.options.get("speakers"), whole=count == 1)
    values = [[round(piece.start + start, 3), round(piece.start + end, 3), name] for start, end, name in turns]
    place = (DiarizedPiece.job_id == UUID(job_id), DiarizedPiece.index == index, DiarizedPiece.turns.is_(None))
    statement = update(DiarizedPiece).where(*place).values(turns=values)
    await patiently(current().engine, lambda session: session.execute(statement))


async def _turns(audio: Samples, speakers: int | None, *, whole: bool) -> list[tuple[float, float, str]]:
    """In one piece of several, fewer may speak than in the whole. Where it cannot tell so many, as many as it can."""
    models = current().models
    try:
        return await models.diarize(audio, *((speakers, None) if whole else (None, speakers)))
    except ModelRefusedError:
        if speakers is None:
            raise
        return await models.diarize(audio)


async def settle_speakers(job_id: str) -> None:
    """The speakers of the whole from those of its pieces, and the voice each is given in every language."""

    async def read(session: AsyncSession) -> tuple[Job, Sequence[DiarizedPiece], Sequence[HeardWindow], bool]:
        told = select(DiarizedPiece).where(DiarizedPiece.job_id == UUID(job_id)).order_by(DiarizedPiece.index)
        return (
            await rows.job(session, job_id),
            (await session.scalars(told)).all(),
            await rows.windows(session, job_id),
            bool(await rows.speakers(session, job_id)),
        )

    job, told, windows, is_settled = await patiently(current().engine, read)
    if job.status != "processing" or is_settled:
        return
    spans = [Interval(piece.start, piece.end) for piece in told]
    heard = [[Turn(*turn) for turn in piece.turns or []] for piece in told]
    turns = joined(spans, heard, job.options.get("speakers"))
    seconds = seconds_by_speaker(turns) or {EVERYBODY: sum(window.speech for window in windows)}
    known = await current().models.capabilities_patiently()
    voices = _cast(job, seconds, known)
    values = [
        {"job_id": job.id, "name": name, "seconds": round(length, 3), "voices": voices[name]}
        for name, length in seconds.items()
    ]

    async def store(session: AsyncSession) -> None:
        await session.execute(insert(JobSpeaker).on_conflict_do_nothing(), values)
        near = around(turns, [Interval(window.start, window.end) for window in windows])
        for window, found in zip(windows, near, strict=True) if told else ():
            within = [[turn.start, turn.end, turn.speaker] for turn in found]
            place = (HeardWindow.job_id == job.id, HeardWindow.index == window.index)
            await session.execute(update(HeardWindow).where(*place).values(turns=within))
        speeds = {name: speed.kept() for name, speed in _speeds(voices, known).items()} | job.voice_speeds
        await session.execute(update(Job).where(Job.id == job.id).values(voice_speeds=speeds))
        if not job.options.get("clone_voices"):
            for language, shared in _shared(voices).items():
                message = (
                    f"There are fewer voices for '{language}' than people who speak: some share a voice ({shared})."
                )
                await progress.warn(session, job.id, "shared_voice", message)

    await patiently(current().engine, store)


def _cast(job: Job, seconds: Mapping[str, float], known: Capabilities) -> dict[str, dict[str, str]]:
    """By speaker and target language, the voice; none where one was named for all, or there is no choice."""
    voices: dict[str, dict[str, str]] = {name: {} for name in seconds}
    if job.kind not in DUBBED or job.options.get("voice"):
        return voices
    for language in _dubbed(job):
        cloning = known.cloning_voice(language) if job.options.get("clone_voices") else None
        if job.options.get("clone_voices") and cloning is None:
            raise NoCloningError([language])
        able = known.voices_for(language, job.options.get("gender"))
        names = [name for voice in able for name in voice.all_names]
        if names and (len(seconds) > 1 or cloning):
            for name, voice in cast(seconds, [cloning.name] if cloning else names).items():
                voices[name][language] = voice
    return voices


def _dubbed(job: Job) -> list[str]:
    """The target languages but the one the media is in, whose own sound is kept."""
    own = job.source_language or job.detected_language
    return [language for language in job.target_languages if own is None or base(own) != base(language)]


def _speeds(voices: Mapping[str, Mapping[str, str]], known: Capabilities) -> dict[str, VoiceSpeeds]:
    """The speeds of every voice that was given, as they are now."""
    given = {(language, name) for chosen in voices.values() for language, name in chosen.items()}
    found = {name: known.voice_for(language, name) for language, name in given}
    return {name: voice.speeds for name, voice in found.items() if voice is not None}


def _shared(voices: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """By language, the voices that several speakers share, in words."""
    found: dict[str, str] = {}
    for language in {language for chosen in voices.values() for language in chosen}:
        names = [chosen[language] for chosen in voices.values() if language in chosen]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            found[language] = ", ".join(twice)
    return found


async def take_references(job_id: str) -> None:
    """The clip each speaker's voice is cloned from. Who speaks too little gets a voice of ours, with a warning.

    Nothing to do where they were taken, or no language needs a voice.

    Raises NothingToCloneError where that is everybody.
    """

    async def read(session: AsyncSession) -> tuple[Job, Media, Sequence[HeardWindow], Sequence[JobSpeaker]]:
        job = await rows.job(session, job_id)
        media = await session.get_one(Media, job.media_id)
        return job, media, await rows.windows(session, job_id), await rows.speakers(session, job_id)

    job, media, windows, speakers = await patiently(current().engine, read)
    taken, wanted = any(each.reference for each in speakers), any(each.voices for each in speakers)
    if job.status != "processing" or taken or not wanted:
        return
    turns = _all_turns(windows)
    known = await current().models.capabilities_patiently()
    chosen = {each.name: await _spans(job_id, each.name, turns, windows) for each in speakers}
    if not any(chosen.values()):
        raise NothingToCloneError
    clips: dict[str, dict[str, Any]] = {}
    with scratch_folder() as scratch:
        async with current().storage.local(media.storage_key) as source:
            for name, spans in chosen.items():
                if spans:
                    clip = scratch / "reference.wav"
                    await extract_excerpts(source, clip, spans, REFERENCE_RATE)
                    await current().storage.put_file(key := keys.reference(job_id, name), clip)
                    clips[name] = {"key": key, "rate": REFERENCE_RATE, "spans": [[at.start, at.end] for at in spans]}
    ours = {name: _ours(job, known) for name in chosen if name not in clips}

    async def store(session: AsyncSession) -> None:
        for name, clip in clips.items():
            await session.execute(_of(job, name).values(reference=clip))
        for name, voices in ours.items():
            await session.execute(_of(job, name).values(voices=voices))
            who = name or "The speaker"
            message = (
                f"{who} does not speak clearly and alone for {SHORTEST_S:.0f} seconds: their voice could not be "
                f"cloned, and a voice of ours speaks ({', '.join(sorted(set(voices.values())))})."
            )
            await progress.warn(session, job.id, "not_cloned", message)

    await patiently(current().engine, store)


def _of(job: Job, name: str) -> Any:
    return update(JobSpeaker).where(JobSpeaker.job_id == job.id, JobSpeaker.name == name)


def _ours(job: Job, known: Capabilities) -> dict[str, str]:
    """The voice by language of who cannot be cloned."""
    found = {language: known.voice_for(language, None, job.options.get("gender")) for language in _dubbed(job)}
    return {language: voice.name for language, voice in found.items() if voice is not None}


def _all_turns(windows: Sequence[HeardWindow]) -> list[Turn]:
    """All turns by start; stretches of speech are everybody's where speakers are not told apart."""
    told = {(turn[0], turn[1], turn[2]) for window in windows for turn in window.turns or ()}
    if not told:
        told = {(start, end, EVERYBODY) for window in windows for start, end in window.stretches}
    return [Turn(*each) for each in sorted(told)]


async def _spans(job_id: str, name: str, turns: Sequence[Turn], windows: Sequence[HeardWindow]) -> list[Interval]:
    """The cleanest parts of a speaker, held to where voice activity found speech."""
    free = alone(name, turns)
    speech = sorted({(start, end) for window in windows for start, end in window.stretches})
    spoken = [
        Interval(max(one.start, start), min(one.end, end))
        for one in free
        for start, end in speech[_first(speech, one) : bisect_left(speech, (one.end,))]
        if min(one.end, end) > max(one.start, start)
    ]
    longest = sorted(spoken, key=lambda each: each.start - each.end)[:MOST_PARTS]
    sound = [
        (part, await read_sound(job_id, round(part.start * SPEECH_RATE), round(part.end * SPEECH_RATE)))
        for part in sorted(longest, key=lambda each: each.start)
    ]

    def read(part: Interval) -> Samples:
        whole, samples = next((whole, samples) for whole, samples in sound if whole.start <= part.start < whole.end)
        first = round((part.start - whole.start) * SPEECH_RATE)
        return samples[first : first + round((part.end - part.start) * SPEECH_RATE)]

    return await asyncio.to_thread(choose, [part for part, _ in sound], read, SPEECH_RATE)


def _first(speech: Sequence[tuple[float, float]], span: Interval) -> int:
    return max(0, bisect_right(speech, (span.start, float("inf"))) - 1)


async def clip_of(speaker: JobSpeaker) -> tuple[Samples, int] | None:
    """The clip [n] a speaker's voice is cloned from, and its rate in Hz."""
    if speaker.reference is None:
        return None
    data = await current().storage.read(speaker.reference["key"])
    samples, rate = await asyncio.to_thread(soundfile.read, io.BytesIO(data), dtype="float32")
    return samples, rate
