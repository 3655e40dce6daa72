"""From a job's renditions to its dub: place the speech, mix it, bring it to its loudness, merge it with the picture.

Each public function is the body of a durable step: it may run twice, also at the same time, and publishes under keyed
names; what it makes on the way lies in a scratch folder of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.database import patiently
from orchestrator.dubbing.balance import Levels, Mix
from orchestrator.dubbing.fit import past, place, slot_of, slot_of_cue
from orchestrator.dubbing.loudness import TARGET_LUFS
from orchestrator.dubbing.timeline import Placement, Slot
from orchestrator.errors import OctaviaError
from orchestrator.jobs import beds, keys, rows
from orchestrator.jobs.advance import RENDERING, MergeProgress
from orchestrator.jobs.context import current
from orchestrator.jobs.earlier import Earlier, earlier
from orchestrator.jobs.kinds import OF_SUBTITLES, SPOKEN
from orchestrator.jobs.metering import keep, kept
from orchestrator.jobs.mixing import Track, mixed
from orchestrator.jobs.models import Job, Rendition, SegmentRow
from orchestrator.jobs.patching import patched
from orchestrator.jobs.scratch import scratch_folder
from orchestrator.jobs.stems import clips_of, stem
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

KEPT_LU = 1.0
"""How far the loudness of a dub may be from what was asked for after some of it was changed, and its gain be kept."""


class OriginalGoneError(OctaviaError):
    def __init__(self) -> None:
        message = "The uploaded file was deleted, and its sound lies beneath this dub: it cannot be mixed again."
        super().__init__("expired", message, 410)


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

    def placed(self, seconds: float) -> list[tuple[SegmentRow, Rendition, Placement, Slot]]:
        """Where the speech lies in so long a dub, beside each segment's own slot, whoever runs into it."""
        starts = [segment.start for segment, _ in self.spoken]
        placements = place(starts, [rendition.seconds or 0.0 for _, rendition in self.spoken], seconds)
        slot = slot_of_cue if self.job.kind in OF_SUBTITLES else slot_of
        return [
            (segment, rendition, placement, slot(segment.start, segment.end, segment.next_start))
            for (segment, rendition), placement in zip(self.spoken, placements, strict=True)
        ]

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
    """Give each rendition its final onset: its segment's own, later only behind speech that overflows.

    With it goes what of the speech lies past its slot: passages are planned without knowing how late they begin.
    """

    async def work(session: AsyncSession) -> None:
        dub = await _dub(session, job_id, language)
        values = [
            {
                "job_id": dub.job.id,
                "language": language,
                "segment": segment.index,
                "onset": placement.onset,
                "overflow": past(placement, slot),
            }
            for segment, _, placement, slot in dub.placed(dub.media.duration)
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
    before = await patiently(current().engine, lambda session: earlier(session, dub.job, language))
    if before is not None and await _is_as_before(dub, before, language, cues):
        noted = {
            "files": before.files,
            "readings": before.readings,
            **(asdict(before.levels) if before.levels else {}),
        }
        await patiently(current().engine, lambda session: _note_rendered(session, dub.job, language, noted))
        return list(before.files)
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(scratch_folder())
        key = before.storage_key if before else dub.media.storage_key
        source = await stack.enter_async_context(current().storage.local(key))
        targets = dub.job.target_languages
        report = MergeProgress(current().engine, job_id, targets.index(language), len(targets), RENDERING)
        await stack.enter_async_context(report)
        has_track = dub.has_track or (before is not None and before.levels is not None)
        track = await _track(dub, source, before, scratch, report) if has_track else None
        report(LEVELLED)
        redone = before is not None and not dub.job.options.get("burn_in")
        if before is not None and not redone:  # a picture that was painted on is painted on anew from the media's
            source = await stack.enter_async_context(current().storage.local(dub.media.storage_key))
        path = track.path if track else None
        result = await _finished(dub, language, source, path, cues, scratch, report, redone=redone)
        report(1.0)
        name = f"{language}{result.suffix}"
        stored = await current().storage.put_file(keys.artifact(job_id, name), result)
    kind = "video" if result.suffix == ".mp4" else "audio"
    content_type = "video/mp4" if kind == "video" else CONTENT_TYPES[dub.format]
    files = [described(kind, language, name, content_type, keys.artifact(job_id, name), stored)]
    readings = keys.readings(job_id, language)
    if track and track.readings:
        await keep(readings, track.readings)
    else:  # of an earlier attempt's
        await current().storage.delete(readings)
    noted = {"files": files, "readings": readings, **(asdict(track.levels) if track else {})}
    await patiently(current().engine, lambda session: _note_rendered(session, dub.job, language, noted))
    return files


async def _is_as_before(dub: Dub, before: Earlier, language: str, cues: Sequence[Cue]) -> bool:
    """Whether nothing of this language's dub is other than in the files there are."""
    if list(before.clips) != clips_of(rendition for _, rendition in dub.spoken):
        return False
    if dub.job.kind != "video_translation" and before.levels is None:  # its own sound, and no subtitles inside
        return True
    return list(cues) == list(await target_cues(before.job_id, language, profile_of(dub.job)))


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


async def _track(dub: Dub, source: Path, before: Earlier | None, scratch: Path, report: MergeProgress) -> Track:
    """The dub's sound over the whole media. `source`: the media, or the file there was `before`.

    The gains of a dub that was there before are kept, unless its loudness left `KEPT_LU` for what was changed.
    """
    if before is None or before.levels is None:
        return await _mixed(dub, source, None, scratch, report)
    if dub.mix == "replace" and dub.job.kind == "video_translation":
        clips = clips_of(rendition for _, rendition in dub.spoken)
        readings = await kept(before.readings)
        track = await patched(source, before.clips, clips, dub.seconds, before.levels, scratch, readings)
    else:
        track = await _mixed(dub, source, before.levels, scratch, report)
    if abs(track.loudness.integrated - dub.goal) <= KEPT_LU or track.loudness.is_silent:
        return track
    return await _mixed(dub, source, None, scratch, report)


async def _mixed(dub: Dub, source: Path, levels: Levels | None, scratch: Path, report: MergeProgress) -> Track:
    begun = BED_SHARE if dub.mix == "keep_background" else 0.0
    spoken = begun + (LEVELLED - begun) * SPOKEN_SHARE
    clips = clips_of(rendition for _, rendition in dub.spoken)
    async with AsyncExitStack() as stack:
        redone = False
        if dub.job.regenerates is not None and dub.mix != "replace":
            source, redone = await stack.enter_async_context(_original(dub, source))
        job_id = str(dub.job.regenerates or dub.job.id)
        progress = report.part(0.0, begun)
        made = beds.bed(job_id, dub.mix, source, scratch, dub.seconds, progress, redone=redone)
        bed = await stack.enter_async_context(made)
        voice = stem(clips, dub.seconds, report.part(begun, spoken))
        return await mixed(voice, bed, scratch, dub.goal, levels=levels, progress=report.part(spoken, LEVELLED))


@asynccontextmanager
async def _original(dub: Dub, before: Path) -> AsyncIterator[tuple[Path, bool]]:
    """What holds the original's sound for a bed, and whether that is a video of ours: the one made before, where the
    media is deleted."""
    if dub.media.available and await current().storage.exists(dub.media.storage_key):
        async with current().storage.local(dub.media.storage_key) as path:
            yield path, False
        return
    if dub.job.kind != "video_translation":
        raise OriginalGoneError
    yield before, True


async def _finished(
    dub: Dub,
    language: str,
    source: Path,
    track: Path | None,
    cues: Sequence[Cue],
    scratch: Path,
    report: MergeProgress,
    *,
    redone: bool = False,
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
        redone=redone,
        progress=progress,
    )
    return result


def _columns(language: str, job: Job) -> float:
    """How many narrow characters a line of a job's subtitles may have."""
    rules = rules_for(language, profile_of(job))
    return rules.line_length / rules.widths[0]
