"""In whose voice a transcript's lines are spoken: the one chosen for a line, else its speaker's, else the job's."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from orchestrator.dubbing.transcript import Entry, Transcript
from orchestrator.jobs import rows
from orchestrator.jobs.casting import cast_for
from orchestrator.jobs.diarizing import EVERYBODY
from orchestrator.jobs.models import Job, JobSpeaker


@dataclass(frozen=True, slots=True)
class Voices:
    """A job's voices by target language, and its speakers with theirs."""

    job: Mapping[str, str]
    cast: Mapping[str, JobSpeaker]

    def usual(self, speaker: str | None, language: str) -> str | None:
        """The voice that speaks for somebody where no other is chosen; None where the job gives no speech."""
        found = cast_for(self.cast, speaker)
        return (found.voices.get(language) if found else None) or self.job.get(language)

    def of(self, entry: Entry, language: str) -> str | None:
        """The voice of a line."""
        line = entry.lines.get(language)
        return (line.voice if line else None) or self.usual(entry.speaker, language)

    def sound(self, entry: Entry, language: str) -> tuple[str | None, str | None]:
        """What a line sounds like, see `spoken`."""
        return self.spoken(entry.speaker, self.of(entry, language), language)

    def spoken(self, speaker: str | None, voice: str | None, language: str) -> tuple[str | None, str | None]:
        """What somebody sounds like in a voice: it, and the key of the clip it clones, as only their usual one does."""
        return voice, self.clip(speaker) if voice == self.usual(speaker, language) else None

    def clip(self, speaker: str | None) -> str | None:
        """The key of the clip that somebody's voice is cloned from; None where it is not."""
        found = cast_for(self.cast, speaker)
        return found.reference["key"] if found and found.reference else None


async def voices_of(session: AsyncSession, job: Job) -> Voices:
    """Whose voices a completed job, or a regeneration of it, speaks in."""
    cast = await rows.speakers(session, str(job.regenerates or job.id))
    return Voices(job.voices, {each.name: each for each in cast})


async def name_speakers(session: AsyncSession, job: Job, voices: Voices, before: Transcript, after: Transcript) -> None:
    """Give each speaker whose name is new the voices of the one whose segment it first was. A name is new where nobody
    was told apart by it and no segment has it, whoever had it in an earlier revision.
    """
    former = {entry.id: entry.speaker for entry in before}
    used = {speaker or EVERYBODY for speaker in former.values()}
    cast = {name: each for name, each in voices.cast.items() if each.seconds > 0 or name in used}
    named: dict[str, JobSpeaker] = {}
    for entry in after:
        name = entry.speaker or EVERYBODY
        was = cast.get(former.get(entry.id) or EVERYBODY) if entry.id in former else None
        if was is not None and name not in cast:
            named.setdefault(name, was)
    if named:
        values = [
            {"job_id": job.id, "name": name, "seconds": 0.0, "voices": was.voices, "reference": was.reference}
            for name, was in named.items()
        ]
        new = insert(JobSpeaker)
        columns = {"voices": new.excluded.voices, "reference": new.excluded.reference}
        await session.execute(new.on_conflict_do_update(index_elements=["job_id", "name"], set_=columns), values)
