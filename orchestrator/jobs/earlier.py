"""What a job that is made anew has made before: its files, its speech, and the gains of its dubs."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.dubbing.balance import Levels
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs import rows
from orchestrator.jobs.models import Artifact, Job
from orchestrator.jobs.stems import clips_of
from orchestrator.jobs.writing import ArtifactValues


@dataclass(frozen=True, slots=True)
class Earlier:
    """A language's dub as it is now: its files, of which `storage_key` names the sound or video; where its speech lies;
    the gains it was mixed with, None where it has no speech; where its meter's readings lie, None where none were kept.
    """

    job_id: str
    files: Sequence[ArtifactValues]
    storage_key: str
    clips: Sequence[Clip]
    levels: Levels | None
    readings: str | None


def levels_of(job: Job, language: str) -> Levels | None:
    """With which gains a finished dub was mixed; None where there is none."""
    noted = job.rendered.get(language, {})
    return Levels(noted["gain_db"], noted["voice_db"], noted["bed_db"]) if "gain_db" in noted else None


async def earlier(session: AsyncSession, job: Job, language: str) -> Earlier | None:
    """None where the job is no regeneration."""
    if job.regenerates is None:
        return None
    before = await session.get_one(Job, job.regenerates)
    found = sa.select(Artifact).where(Artifact.job_id == before.id, Artifact.language == language)
    artifacts = (await session.scalars(found.where(Artifact.kind.in_(("video", "audio", "quality_report"))))).all()
    pairs = await rows.renditions(session, str(before.id), language)
    return Earlier(
        str(before.id),
        [values_of(each) for each in artifacts],
        next(each.storage_key for each in artifacts if each.kind != "quality_report"),
        clips_of(rendition for _, rendition in pairs if rendition.audio_key is not None),
        levels_of(before, language),
        before.rendered.get(language, {}).get("readings"),
    )


def values_of(artifact: Artifact) -> ArtifactValues:
    return {
        "kind": artifact.kind,
        "language": artifact.language,
        "name": artifact.name,
        "content_type": artifact.content_type,
        "size": artifact.size,
        "sha256": artifact.sha256,
        "storage_key": artifact.storage_key,
    }
