"""Models that listen to a finished dub: Whisper reads it back, others rate its speech and compare its voices."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from orchestrator.database import patiently
from orchestrator.inference import SPEECH_RATE
from orchestrator.jobs import rows
from orchestrator.jobs.assembling import Dub
from orchestrator.jobs.context import current
from orchestrator.jobs.diarizing import EVERYBODY
from orchestrator.jobs.models import Rendition, SegmentRow
from orchestrator.jobs.sound import BYTES_PER_SAMPLE, floats, read_sound
from orchestrator.media.audio import extract_speech_audio
from orchestrator.quality.reading_back import ReadBack, chosen, compared, summed
from orchestrator.quality.reasons import Reason

PAD_S = 0.1
"""Heard before and after a segment's speech."""
AT_ONCE = 4
RATED = 5
RATED_S = 9.01
"""How many stretches of a dub are rated, and how long one is: what the rating networks hear at a time."""
LEAST_S, MOST_S = 1.6, 30.0
"""So much speech of a person is compared."""
MODEL_WAIT_S = 60.0
"""How long a model that is away is waited for: a report without its figure is better than a job that waits."""

Samples = npt.NDArray[np.float32]


class Sound:
    """A finished dub at 16 kHz, mono; decoded to a file in `scratch` when it is first heard."""

    def __init__(self, finished: Path, scratch: Path) -> None:
        self._finished, self._path = finished, scratch / "dub.pcm"
        self._decoding = asyncio.Lock()
        self._is_decoded = False

    async def between(self, start: float, end: float) -> Samples:
        """Samples from `start` to `end` seconds, float32 in [-1, 1]; shorter at the sound's end. Raises MediaError."""
        async with self._decoding:
            if not self._is_decoded:
                await extract_speech_audio(self._finished, self._path)
                self._is_decoded = True
        first = max(0, round(start * SPEECH_RATE))
        count = max(0, round(end * SPEECH_RATE) - first)
        offset = first * BYTES_PER_SAMPLE
        return floats(await asyncio.to_thread(lambda: np.fromfile(self._path, "<i2", count, offset=offset)))


async def read_back(
    dub: Dub, language: str, sound: Sound, how: ReadBack | Literal["regenerated"]
) -> dict[str, Any] | Reason:
    """What Whisper hears of the finished dub, beside what its segments say."""
    if how == "regenerated":
        return how
    if how == "none":
        return "not_asked"
    picked = [dub.spoken[at] for at in chosen([rendition.seconds or 0.0 for _, rendition in dub.spoken], how)]
    if not picked:
        return "nothing_spoken"
    if not (await current().models.capabilities(wait_s=MODEL_WAIT_S)).hears(language):
        return "not_heard"
    room = asyncio.Semaphore(AT_ONCE)

    async def heard(rendition: Rendition) -> str:
        start, end = _span(rendition)
        async with room:
            audio = await sound.between(start - PAD_S, end + PAD_S)
            return (await current().models.transcribe(audio, language, wait_s=MODEL_WAIT_S)).text

    texts = await asyncio.gather(*(heard(rendition) for _, rendition in picked))
    found = await asyncio.to_thread(
        lambda: [
            compared(segment.index, rendition.text, text, language)
            for (segment, rendition), text in zip(picked, texts, strict=True)
        ]
    )
    seconds = sum(rendition.seconds or 0.0 for _, rendition in picked)
    return summed([each for each in found if each], len(dub.spoken), seconds, language) or "nothing_spoken"


async def speech_quality(dub: Dub, sound: Sound) -> dict[str, Any] | Reason:
    """Ratings, 1 to 5, of stretches that begin with a segment, spread evenly over the dub."""
    if not dub.spoken:
        return "nothing_spoken"
    await current().models.insist_on("speech_quality", MODEL_WAIT_S)
    ratings = []
    for at in _spread(len(dub.spoken), RATED):
        start, _ = _span(dub.spoken[at][1])
        audio = await sound.between(start, start + RATED_S)
        if np.any(audio):
            ratings.append(await current().models.speech_quality(audio, wait_s=MODEL_WAIT_S))
    if not ratings:
        return "nothing_spoken"

    def mean(values: Sequence[float]) -> float:
        return round(sum(values) / len(values), 2)

    return {
        "overall": mean([each.overall for each in ratings]),
        "signal": mean([each.signal for each in ratings]),
        "background": mean([each.background for each in ratings]),
        "p808": mean([each.p808 for each in ratings]),
        "stretches": len(ratings),
    }


async def speaker_similarity(dub: Dub, sound: Sound) -> dict[str, Any] | Reason:
    """How like the speakers their cloned voices are, 0-1: speech of each in the dub beside theirs in the original."""
    job_id = str(dub.job.id)
    speakers = await patiently(current().engine, lambda session: rows.speakers(session, job_id))
    cloned = {each.name for each in speakers if each.reference}
    if not cloned:
        return "not_cloned"
    if dub.job.regenerates is not None:
        return "regenerated"  # the original's sound was extracted for the first run alone
    said: defaultdict[str, list[tuple[SegmentRow, Rendition]]] = defaultdict(list)
    for segment, rendition in dub.spoken:
        said[segment.speaker or EVERYBODY].append((segment, rendition))
    found = {name: await similarity(job_id, pairs, sound) for name, pairs in sorted(said.items()) if name in cloned}
    alike = {name: round(value, 3) for name, value in found.items() if value is not None}
    if not alike:
        return "nothing_spoken"
    each = [{"speaker": name or None, "similarity": value} for name, value in alike.items()]
    return {"lowest": min(alike.values()), "speakers": each}


async def similarity(job_id: str, pairs: Sequence[tuple[SegmentRow, Rendition]], sound: Sound) -> float | None:
    """How alike one speaker sounds in the original and in the dub, 0-1; None where too little is said."""
    original: list[Samples] = []
    dubbed: list[Samples] = []
    for segment, rendition in pairs:
        if min(_seconds(original), _seconds(dubbed)) >= MOST_S:
            break
        original.append(await read_sound(job_id, round(segment.start * SPEECH_RATE), round(segment.end * SPEECH_RATE)))
        dubbed.append(await sound.between(*_span(rendition)))
    if min(_seconds(original), _seconds(dubbed)) < LEAST_S:
        return None
    limit = round(MOST_S * SPEECH_RATE)
    theirs, ours = [
        await current().models.speaker_embedding(np.concatenate(each)[:limit], wait_s=MODEL_WAIT_S)
        for each in (original, dubbed)
    ]
    return float(theirs @ ours)


def _span(rendition: Rendition) -> tuple[float, float]:
    """Where a rendition lies in the dub, in seconds."""
    start = rendition.onset or 0.0
    return start, start + (rendition.seconds or 0.0)


def _spread(total: int, most: int) -> list[int]:
    """At most so many of `total` places, evenly spread."""
    count = min(total, most)
    return [(2 * at + 1) * total // (2 * count) for at in range(count)]


def _seconds(parts: Sequence[Samples]) -> float:
    return sum(map(len, parts)) / SPEECH_RATE
