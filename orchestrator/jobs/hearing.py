"""From a media's sound to its segments: extract, find speech, cut windows, transcribe, close passages.

Each public function is the body of a durable step: it may run twice, also at the same time, so it only writes rows
keyed by job and index and publishes objects under keyed names.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, TypedDict
from uuid import UUID

import numpy as np
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.onsets import set_in, snap
from orchestrator.dubbing.segments import close
from orchestrator.dubbing.speakers import Turn, spoken_by
from orchestrator.dubbing.timeline import Interval, Window, Word
from orchestrator.dubbing.windows import cut_windows, merge_intervals
from orchestrator.inference import SPEECH_RATE, Heard, HeardWord, SpeechActivity
from orchestrator.jobs import keys, progress, rows
from orchestrator.jobs.advance import advance
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import OF_SUBTITLES
from orchestrator.jobs.models import HeardWindow, Job, SegmentRow
from orchestrator.jobs.scratch import scratch_folder
from orchestrator.jobs.sound import read_sound, samples_of_sound, seconds_of_sound
from orchestrator.media.audio import extract_speech_audio
from orchestrator.media.models import Media

PIECE_S = 300
"""Voice activity is asked for in pieces of this length, so that memory does not grow with the file."""
PIECES_AT_ONCE = 2
TRUSTED_SPEECH_S = 3.0
TRUSTED_PROBABILITY = 0.5
"""A detected language counts from this much speech and this probability on: all wrong ones measured were below."""
PROBES = (0.1, 0.37, 0.63, 0.9)
"""Where in a file its language is listened for: an intro may be in another language than the rest."""


class Segmented(TypedDict):
    """How far the words have become segments: how many there are, and how many words are left over."""

    segments: int
    passages: int
    rest: int


async def begin(job_id: str) -> dict[str, Any]:
    """Mark the job as processing; what its order depends on."""

    async def work(session: AsyncSession) -> Job:
        await progress.start(session, UUID(job_id))
        await progress.record(session, UUID(job_id), stage="extracting", counts={"extracting": [0, 1]})
        return await rows.job(session, job_id)

    job = await patiently(current().engine, work)
    source = job.source_language or (job.detected_language if job.kind in OF_SUBTITLES else None)
    return {
        "user": str(job.user_id),
        "targets": job.target_languages,
        "source": source,
        "kind": job.kind,
        "paid": job.credits > 0,
        "cloned": bool(job.options.get("clone_voices")),
        "speakers": job.kind not in OF_SUBTITLES,
        "regenerates": job.regenerates is not None,
    }


async def extract(job_id: str) -> None:
    """Store the media's sound as headerless 16 kHz mono s16le, so that a window is a range of bytes.

    Nothing to do where an earlier attempt has: what is stored under the key is whole.
    """
    storage = current().storage
    if await storage.exists(keys.speech(job_id)):
        return

    async def media_of(session: AsyncSession) -> Media:
        job = await rows.job(session, job_id)
        return await session.get_one(Media, job.media_id)

    media = await patiently(current().engine, media_of)
    with scratch_folder() as scratch:
        pcm = scratch / "speech.pcm"
        async with storage.local(media.storage_key) as source:
            await extract_speech_audio(source, pcm)
        await storage.put_file(keys.speech(job_id), pcm)
    await patiently(current().engine, lambda session: advance(session, UUID(job_id), "transcribing"))


async def listen(job_id: str) -> int:
    """Find the speech and cut it into windows; how many there are (0: nobody speaks).

    Windows of an earlier attempt stand: all of them are stored at once.
    """

    async def known(session: AsyncSession) -> int:
        await advance(session, UUID(job_id), "transcribing")
        return await rows.window_count(session, job_id)

    if there := await patiently(current().engine, known):
        return there
    samples = await samples_of_sound(job_id)
    gate = asyncio.Semaphore(PIECES_AT_ONCE)

    async def piece(start: int) -> SpeechActivity:
        async with gate:
            return await current().models.speech_activity(
                await read_sound(job_id, start, start + PIECE_S * SPEECH_RATE)
            )

    starts = range(0, samples, PIECE_S * SPEECH_RATE)
    found = await asyncio.gather(*(piece(start) for start in starts))
    speech = merge_intervals(
        [
            Interval(float(start / SPEECH_RATE + begin), float(start / SPEECH_RATE + end))
            for start, activity in zip(starts, found, strict=True)
            for begin, end in activity.stretches
        ]
    )
    probability = np.concatenate([activity.probability for activity in found]) if found else None
    windows = cut_windows(speech, probability, samples / SPEECH_RATE)

    async def store(session: AsyncSession) -> None:
        values = [_window_row(job_id, window, speech) for window in windows]
        if values:
            await session.execute(insert(HeardWindow).on_conflict_do_nothing(), values)
        await advance(session, UUID(job_id), "transcribing")

    await patiently(current().engine, store)
    return len(windows)


async def note_silence(job_id: str) -> None:
    """Tell the user that nothing is said: voice activity found nothing, or Whisper no words in what it found."""
    message = "Nobody speaks in this file: its sound is kept as it is."
    await patiently(current().engine, lambda session: progress.warn(session, UUID(job_id), "no_speech", message))


async def detect(job_id: str) -> str:
    """The language most of the file is in, heard in up to four windows spread over it; "" where none has words."""

    async def read(session: AsyncSession) -> tuple[Job, Sequence[HeardWindow]]:
        return await rows.job(session, job_id), await rows.windows(session, job_id)

    job, windows = await patiently(current().engine, read)
    if job.detected_language:  # by an earlier attempt, whose windows were heard with it
        return job.detected_language
    probes = {_most_speech_near(windows, share).index: _most_speech_near(windows, share) for share in PROBES}
    heard = await asyncio.gather(*(_hear(job_id, window, None) for window in probes.values()))
    votes: defaultdict[str, float] = defaultdict(float)
    for each in heard:
        if each.words:
            votes[each.language] += each.language_probability
    language = max(votes, key=lambda code: (votes[code], code), default="")

    async def store(session: AsyncSession) -> None:
        await session.execute(update(Job).where(Job.id == UUID(job_id)).values(detected_language=language or None))
        for window, result in zip(probes.values(), heard, strict=True):
            if _trusted(window, result) or result.language == language:
                await _store_heard(session, job_id, window, result)

    await patiently(current().engine, store)
    return language


async def transcribe_window(job_id: str, index: int) -> None:
    """Hear one window in the language asked for, else in its own where that is certain, else in the file's."""

    async def read(session: AsyncSession) -> tuple[Job, HeardWindow]:
        window = await session.get_one(HeardWindow, (UUID(job_id), index))
        return await rows.job(session, job_id), window

    job, window = await patiently(current().engine, read)
    if job.status != "processing" or window.words is not None:
        return
    heard = await _hear(job_id, window, job.source_language)
    file_language = job.source_language or job.detected_language
    if file_language and heard.language != file_language and not _trusted(window, heard):
        heard = await _hear(job_id, window, file_language)

    async def store(session: AsyncSession) -> None:
        await _store_heard(session, job_id, window, heard)
        await advance(session, UUID(job_id), "transcribing")

    await patiently(current().engine, store)


async def close_passages(job_id: str, window: int, state: Segmented, final: bool) -> Segmented:
    """Close the passages that are complete now that `window` is heard too; `state` is what the last call returned."""

    async def work(session: AsyncSession) -> Segmented:
        words = await _words_until(session, job_id, window, state["rest"])
        following = None if final else await session.get_one(HeardWindow, (UUID(job_id), window + 1))
        heard_until = await seconds_of_sound(job_id) if following is None else following.start
        closed, left = close(words, heard_until=heard_until, final=final)
        segments = [(at, segment) for at, passage in enumerate(closed) for segment in passage.segments]
        onsets = [segment.start for _, segment in segments[1:]] + [left[0].start if left else heard_until]
        values = [
            {
                "job_id": UUID(job_id),
                "index": state["segments"] + at,
                "passage": state["passages"] + passage,
                "start": segment.start,
                "end": segment.end,
                "next_start": max(onset, segment.end),
                "language": segment.language,
                "speaker": segment.speaker,
                "text": segment.text,
                "words": [asdict(word) for word in segment.words],
            }
            for at, ((passage, segment), onset) in enumerate(zip(segments, onsets, strict=True))
        ]
        if values:
            await session.execute(insert(SegmentRow).on_conflict_do_nothing(), values)
        return {
            "segments": state["segments"] + len(segments),
            "passages": state["passages"] + len(closed),
            "rest": len(left),
        }

    return await patiently(current().engine, work)


async def _words_until(session: AsyncSession, job_id: str, window: int, rest: int) -> list[Word]:
    """The `rest` words before `window` and those of `window`, in order."""
    words: list[Word] = []
    wanted = 0
    for index in range(window, -1, -1):
        heard = await session.get_one(HeardWindow, (UUID(job_id), index))
        said = [Word(language=heard.language, **word) for word in heard.words or []]
        words = spoken_by(said, [Turn(*turn) for turn in heard.turns or ()]) + words
        wanted = wanted or len(words) + rest
        if len(words) >= wanted:
            break
    return words[len(words) - wanted :]


async def _hear(job_id: str, window: HeardWindow, language: str | None) -> Heard:
    """What is said in a window, its words held to where somebody speaks and set in where the voice does."""
    audio = await read_sound(job_id, round(window.start * SPEECH_RATE), round(window.end * SPEECH_RATE))
    heard = await current().models.transcribe(audio, language)
    speech = [Interval(start - window.start, end - window.start) for start, end in window.stretches]
    timed = snap([Word(each.text, each.start, each.end, each.probability) for each in heard.words], speech)
    words = await asyncio.to_thread(set_in, timed, audio, SPEECH_RATE)
    return replace(heard, words=tuple(HeardWord(each.text, each.start, each.end, each.probability) for each in words))


async def _store_heard(session: AsyncSession, job_id: str, window: HeardWindow, heard: Heard) -> None:
    """The words at absolute times."""
    words = [
        {
            "text": each.text,
            "start": round(window.start + each.start, 3),
            "end": round(window.start + each.end, 3),
            "probability": each.probability,
        }
        for each in heard.words
    ]
    await session.execute(
        update(HeardWindow)
        .where(
            HeardWindow.job_id == UUID(job_id),
            HeardWindow.index == window.index,
            HeardWindow.words.is_(None),  # the first answer holds: segments may be cut from it already
        )
        .values(language=heard.language, language_probability=heard.language_probability, words=words)
    )


def _window_row(job_id: str, window: Window, speech: Sequence[Interval]) -> dict[str, Any]:
    first = bisect_right(speech, window.start, key=lambda each: each.end)
    last = bisect_left(speech, window.end, key=lambda each: each.start)
    return {
        "job_id": UUID(job_id),
        "index": window.index,
        "start": window.start,
        "end": window.end,
        "speech": window.speech,
        "stretches": [[each.start, each.end] for each in speech[first:last]],
    }


def _trusted(window: HeardWindow, heard: Heard) -> bool:
    return window.speech >= TRUSTED_SPEECH_S and heard.language_probability >= TRUSTED_PROBABILITY


def _most_speech_near(windows: Sequence[HeardWindow], share: float) -> HeardWindow:
    """The window with the most speech among those around this share of the file."""
    at = round(share * (len(windows) - 1))
    return max(windows[max(0, at - 2) : at + 3], key=lambda window: (window.speech, -window.index))
