"""What sounds beneath a dub, made of the original's sound when the dub is put together."""

from pathlib import Path

from orchestrator.dubbing.balance import Mix
from orchestrator.jobs.mixing import Bed
from orchestrator.media.original import extract_original


async def bed(job_id: str, mix: Mix, source: Path, scratch: Path, seconds: float) -> Bed | None:
    """The bed of a dub of the media `source`, in `scratch`; None where the dub replaces the original's sound."""
    if mix == "replace":
        return None
    path = scratch / "original.wav"
    return Bed(path, await extract_original(source, path, seconds), ducked=True)
