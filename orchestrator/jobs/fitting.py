"""A passage's speech: planned for its slots, spoken, and brought to the length it was planned for."""

import asyncio
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from orchestrator.capabilities import base
from orchestrator.dubbing import fit
from orchestrator.dubbing.edges import QUIET_S, audible, heard
from orchestrator.dubbing.fit import Candidate, Choice, slot_of, slot_of_cue
from orchestrator.dubbing.mix import RATE, resample
from orchestrator.dubbing.pace import Planned, tempo
from orchestrator.inference import Utterance
from orchestrator.jobs import keys
from orchestrator.jobs.casting import Speaker
from orchestrator.jobs.context import current
from orchestrator.jobs.models import Rendition, SegmentRow
from orchestrator.jobs.scratch import scratch_folder

SEED = 0

Samples = npt.NDArray[np.float32]


async def plan_passage(
    spoken: Sequence[tuple[SegmentRow, Rendition]], speakers: Sequence[Speaker], *, read_aloud: bool = False
) -> list[Choice]:
    """For each segment the translation and speed that fit its speaker. Others than the best are measured where it is
    not at ease.

    `read_aloud`: the segments' times are those of cues, which stay longer than their words take.
    """
    slot = slot_of_cue if read_aloud else slot_of
    slots = [slot(segment.start, segment.end, segment.next_start) for segment, _ in spoken]
    renditions = [rendition for _, rendition in spoken]
    turns = {at for at in range(1, len(spoken)) if spoken[at][0].speaker != spoken[at - 1][0].speaker}
    best = await _measured([rendition.candidates[:1] for rendition in renditions], renditions, speakers)
    first = fit.plan(slots, best, turns)
    others = [
        rendition.candidates[1:] if fit.needs_others(choice) else []
        for rendition, choice in zip(renditions, first, strict=True)
    ]
    if not any(others):
        return first
    more = await _measured(others, renditions, speakers)
    return fit.plan(slots, [[*one, *rest] for one, rest in zip(best, more, strict=True)], turns)


async def _measured(
    texts: Sequence[Sequence[dict[str, Any]]], renditions: Sequence[Rendition], speakers: Sequence[Speaker]
) -> list[list[Candidate]]:
    """The translations of each segment with the seconds they are heard for, by the voice, all asked for at once."""
    utterances = [
        Utterance(each["text"], rendition.language, speaker.voice, 1.0, SEED, speaker.like)
        for group, rendition, speaker in zip(texts, renditions, speakers, strict=True)
        for each in group
    ]
    seconds = iter(await current().models.seconds(utterances))
    return [[Candidate(each["text"], each["score"], audible(next(seconds))) for each in group] for group in texts]


async def speak(segment: SegmentRow, rendition: Rendition, speaker: Speaker, choice: Choice) -> dict[str, Any]:
    """Synthesize and store one segment as planned; the columns to be written to its rendition."""
    samples, speed = await _spoken(rendition.language, speaker, choice)
    seconds = len(samples) / RATE
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="FLAC", subtype="PCM_16")
    key = keys.rendition(str(segment.job_id), rendition.language, segment.index)
    await current().storage.put_bytes(key, file.getvalue())
    return {
        "text": choice.candidate.text,
        "score": choice.candidate.score if base(segment.language) != base(rendition.language) else None,
        "voice": speaker.voice,
        "seed": SEED,
        "speed": speed,
        "onset": choice.slot.onset,
        "seconds": seconds,
        "overflow": max(0.0, seconds - choice.slot.seconds),
        "audio_key": key,
    }


async def _spoken(language: str, speaker: Speaker, choice: Choice) -> tuple[Samples, float]:
    """The speech at `RATE` without the quiet around it, and its speed: the planned one or what came nearest to it.

    What the voice does not reach by itself, and what it misses, a filter adds.
    """
    speeds, speed = speaker.speeds, choice.fit.speed
    asked = Utterance(choice.candidate.text, language, speaker.voice, speeds.asked(speed), SEED, speaker.like)
    speech = await current().models.synthesize(asked)
    samples = await asyncio.to_thread(lambda: heard(resample(speech.samples, speech.sample_rate), RATE))
    planned = Planned(choice.fit.seconds + QUIET_S / speed, choice.fit.seconds, choice.slot.seconds)
    whole = len(speech.samples) / speech.sample_rate
    faster = tempo(whole, len(samples) / RATE, speeds.reached(speed), planned)
    if faster == 1.0:
        return samples, speeds.reached(speed)
    with scratch_folder() as scratch:
        count = max(1, round(len(samples) / faster))
        stretched = await current().stretcher.stretch(samples, count, scratch)
    return stretched, round(speeds.reached(speed) * faster, 4)
