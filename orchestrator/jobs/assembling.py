"""From a job's renditions to its dub: place the speech, mix it, bring it to its loudness, merge it with the picture.

Each public function is the body of a durable step: it may run twice, also at the same time, and publishes under keyed
names; what it makes on the way lies in a scratch folder of its own.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.balance import Levels, Mix
from orchestrator.dubbing.fit import place
from orchestrator.dubbing.loudness import TARGET_LUFS
from orchestrator.dubbing.mix import RATE, blocks
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs import beds, keys, rows
from orchestrator.jobs.advance import MergeProgress
from orchestrator.jobs.context import current
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.mixing import VOICE_CHANNELS, Share, Track, mixed
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.scratch import scratch_folder
from orchestrator.jobs.subtitling import profile_of
from orchestrator.jobs.writing import ArtifactValues, described, target_cues
from orchestrator.media.audio import CONTENT_TYPES, AudioFormat, encode_audio
from orchestrator.media.burning import BurnedSubtitles
from orchestrator.media.merge import SoftSubtitles, merge
from orchestrator.media.models import Media
from orchestrator.subtitles import srt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.rules import rules_for

SHORTEST_S = 0.1
"""Players refuse a file without a sample."""
LEVELLED = 0.7
"""A language's share of the merge at which its track is finished: the picture is next."""
SPOKEN_SHARE = 0.2
"""Of that, the share in which the speech is put together, before it is mixed."""
BED_SHARE = 0.4
"""A language's share of the merge in which the voices are taken out of the original, where they are."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Dub:
    """What a dub is made of: the job, its media, and its segments with their speech in order."""

    job: Job
    media: Media
    spoken: Sequence[tuple[SegmentRow, Rendition]]

    @property
    def seconds(self) -> float:
        """How long it is: as its media; as subtitles or, where speech overflows the last cue, as that."""
        if self.job.kind not in OF_SUBTITLES:
            return self.media.duration
        ends = ((rendition.onset or 0.0) + (rendition.seconds or 0.0) for _, rendition in self.spoken)
        return max(self.media.duration, *ends, SHORTEST_S)

    @property
    def has_track(self) -> bool:
        """Whether sound of ours is made; else the original's is taken over."""
        return bool(self.spoken) or self.job.kind in OF_SUBTITLES

    @property
    def format(self) -> AudioFormat:
        chosen: AudioFormat = self.job.options.get("format") or "mp3"
        return chosen

    @property
    def mix(self) -> Mix:
        chosen: Mix = self.job.options.get("mix") or "replace"
        return chosen

    @property
    def goal(self) -> float:
        """The loudness asked for, in LUFS."""
        return float(self.job.options.get("loudness") or TARGET_LUFS)


async def dub_of(job_id: str, language: str) -> Dub:
    """The dub in one language as it is now."""
    return await patiently(current().engine, lambda session: _dub(session, job_id, language))


async def place_dub(job_id: str, language: str) -> None:
    """Give each rendition its final onset: its segment's own, later only behind speech that overflows."""

    async def work(session: AsyncSession) -> None:
        dub = await _dub(session, job_id, language)
        placements = place(
            [segment.start for segment, _ in dub.spoken],
            [rendition.seconds or 0.0 for _, rendition in dub.spoken],
            dub.media.duration,
        )
        values = [
            {"job_id": dub.job.id, "language": language, "segment": segment.index, "onset": placement.onset}
            for (segment, _), placement in zip(dub.spoken, placements, strict=True)
        ]
        if values:
            await session.execute(update(Rendition), values)

    await patiently(current().engine, work)


async def render(job_id: str, language: str) -> list[ArtifactValues]:
    """The dub in one language; nothing where the job gives no speech.

    What an earlier attempt has put together is taken as it is.
    """
    dub = await patiently(current().engine, lambda session: _dub(session, job_id, language))
    if dub.job.kind not in SPOKEN or dub.job.status != "processing":
        return []
    if finished := await _rendered(dub.job, language):
        return finished
    cues = await target_cues(job_id, language, profile_of(dub.job))
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        source = await stack.enter_async_context(current().storage.local(dub.media.storage_key))
        targets = dub.job.target_languages
        report = MergeProgress(current().engine, job_id, targets.index(language), len(targets))
        await stack.enter_async_context(report)
        track = await _track(dub, source, scratch, report) if dub.has_track else None
        report(LEVELLED)
        result = await _finished(dub, language, source, track.path if track else None, cues, scratch, report)
        report(1.0)
        name = f"{language}{result.suffix}"
        stored = await current().storage.put_file(keys.artifact(job_id, name), result)
    kind = "video" if result.suffix == ".mp4" else "audio"
    content_type = "video/mp4" if kind == "video" else CONTENT_TYPES[dub.format]
    files = [described(kind, language, name, content_type, keys.artifact(job_id, name), stored)]
    noted = {"files": files, **(asdict(track.levels) if track else {})}
    await patiently(current().engine, lambda session: _note_rendered(session, dub.job, language, noted))
    return files


def levels_of(job: Job, language: str) -> Levels | None:
    """With which gains a finished dub was mixed; None where there is none."""
    noted = job.rendered.get(language, {})
    return Levels(noted["gain_db"], noted["voice_db"], noted["bed_db"]) if "gain_db" in noted else None


async def _rendered(job: Job, language: str) -> list[ArtifactValues]:
    """The files that were noted as finished, where all of them are there."""
    files: list[ArtifactValues] = job.rendered.get(language, {}).get("files", [])
    there = [await current().storage.exists(file["storage_key"]) for file in files]
    return files if all(there) else []


async def _note_rendered(session: AsyncSession, job: Job, language: str, noted: dict[str, Any]) -> None:
    values = {"rendered": Job.rendered.concat({language: noted})}
    await session.execute(update(Job).where(Job.id == job.id).values(**values))


async def _dub(session: AsyncSession, job_id: str, language: str) -> Dub:
    job = await rows.job(session, job_id)
    pairs = await rows.renditions(session, job_id, language)
    return Dub(
        job, await session.get_one(Media, job.media_id), [pair for pair in pairs if pair[1].audio_key is not None]
    )


async def _track(dub: Dub, source: Path, scratch: Path, report: MergeProgress) -> Track:
    """The dub's sound over the whole media."""
    begun = BED_SHARE if dub.mix == "keep_background" else 0.0
    spoken = begun + (LEVELLED - begun) * SPOKEN_SHARE
    separating = report.part(0.0, begun)
    async with beds.bed(str(dub.job.id), dub.mix, source, scratch, dub.seconds, separating) as bed:
        stem = _stem(dub, report.part(begun, spoken))
        return await mixed(stem, bed, scratch, dub.goal, progress=report.part(spoken, LEVELLED))


async def _stem(dub: Dub, progress: Share) -> AsyncIterator[Samples]:
    """The dub's voice before any gain, in blocks [n, 1] at 48 kHz.

    Rendering runs in a thread, which fetches each clip from storage when its turn comes.
    """
    loop = asyncio.get_running_loop()
    storage = current().storage

    def read(clip: Clip) -> Samples:
        data = asyncio.run_coroutine_threadsafe(storage.read(clip.key), loop).result()
        samples: Samples = soundfile.read(io.BytesIO(data), dtype="float32")[0]
        return samples

    clips = [
        Clip(rendition.audio_key or "", round((rendition.onset or 0.0) * RATE), round((rendition.seconds or 0) * RATE))
        for _, rendition in dub.spoken
    ]
    total, done = round(dub.seconds * RATE), 0
    rendered = blocks(clips, read, total, VOICE_CHANNELS)
    while (block := await asyncio.to_thread(next, rendered, None)) is not None:
        yield block
        done += len(block)
        progress(done / total)


async def _finished(
    dub: Dub,
    language: str,
    source: Path,
    track: Path | None,
    cues: Sequence[Cue],
    scratch: Path,
    report: MergeProgress,
) -> Path:
    """The file the user gets, with the original's sound where no speech of ours replaces it."""

    def progress(seconds: float) -> None:
        report(LEVELLED + (1 - LEVELLED) * min(1.0, seconds / dub.seconds))

    if dub.job.kind != "video_translation":
        result = scratch / f"finished.{dub.format}"
        await encode_audio(track or source, result, dub.format, seconds=dub.seconds, progress=progress)
        return result
    result = scratch / "dub.mp4"
    subtitles: list[SoftSubtitles] = []
    burn = None
    if cues and dub.job.options.get("burn_in"):
        burn = BurnedSubtitles(language, cues, _columns(language, dub.job))
    elif cues:
        path = scratch / "subtitles.srt"
        await asyncio.to_thread(lambda: path.write_text(srt.dumps(cues, language), encoding="utf-8"))
        subtitles.append(SoftSubtitles(language, path))
    await merge(
        source,
        track,
        result,
        language=language,
        original_language=dub.job.source_language or dub.job.detected_language,
        subtitles=subtitles,
        burn=burn,
        progress=progress,
    )
    return result


def _columns(language: str, job: Job) -> float:
    """How many narrow characters a line of a job's subtitles may have."""
    rules = rules_for(language, profile_of(job))
    return rules.line_length / rules.widths[0]
