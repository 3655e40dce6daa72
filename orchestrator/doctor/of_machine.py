"""Checks of the settings and of the machine the doctor is called on: run it where API or workers run."""

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence

from orchestrator.doctor.findings import Finding, Patient, error, ok, warning
from orchestrator.local import tools
from orchestrator.observability.disk import Folder, room
from orchestrator.settings_check import missing

GIB = 2**30
FREE_ERROR, FREE_WARNING = 1 * GIB, 10 * GIB
"""A job needs a few times its media in scratch, and media may have 500 MB."""

ENCODERS = ("libx264", "aac", "libmp3lame", "libvorbis", "libopus", "flac", "pcm_s16le", "mov_text")
FILTERS = (
    "ebur128",
    "aresample",
    "atrim",
    "apad",
    "scale",
    "setpts",
    "bwdif",
    "crop",
    "setparams",
    "zscale",
    "tonemap",
)
WISHED_FILTERS: Mapping[str, str] = {
    "rubberband": "recordings cannot be stretched to the sample",
    "subtitles": "subtitles cannot be drawn into the picture",
}
FFMPEG_FIX = "Install Debian's or Ubuntu's ffmpeg, which has all of it: apt-get install ffmpeg."


async def settings(patient: Patient) -> Sequence[Finding]:
    """Whether the settings suit production mode."""
    found = missing(patient.settings)
    if patient.settings.mode == "production":
        fix = "API and workers do not start like this: set it as it says."
        return [Finding("error", text, fix) for text in found] or ok("The settings suit production mode.")
    told = f" Of them {len(found)} things are for development only." if found else ""
    return warning(
        f"The mode is development.{told}",
        "For a service of others set OCTAVIA_MODE=production; then this check lists what is missing.",
    )


async def disk(patient: Patient) -> Sequence[Finding]:
    """Whether there is room where this machine writes."""
    found: list[Finding] = []
    scratch = Folder(patient.settings.scratch_root, patient.settings.scratch_room_bytes)
    for name, folder in (("data", Folder(patient.settings.data_dir)), ("scratch", scratch)):
        free = (await asyncio.to_thread(room, folder)).free
        text = f"{free / GIB:.1f} GiB are free for {name} ({folder.path})."
        fix = f"Make room on the file system of {folder.path}, or move it (OCTAVIA_DATA_DIR, OCTAVIA_SCRATCH_DIR)."
        if folder.most is not None:
            fix = (
                f"Let {folder.path} hold more: the sizeLimit of the pod's volume, and OCTAVIA_SCRATCH_ROOM_BYTES alike."
            )
        if free < FREE_ERROR:
            found += error(text, fix)
        elif free < FREE_WARNING:
            found += warning(text, fix)
        else:
            found += ok(text)
    return found


async def programs(_: Patient) -> Sequence[Finding]:
    """Whether ffmpeg and ffprobe are there, with what we ask of them."""
    absent = [program for program in tools.CONTROL_PLANE if shutil.which(program) is None]
    if absent:
        return error(f"Not found on PATH: {', '.join(absent)}.", FFMPEG_FIX)
    version = (await _said("ffmpeg", "-version")).partition("\n")[0]
    encoders = _names(await _said("ffmpeg", "-hide_banner", "-encoders"))
    filters = _names(await _said("ffmpeg", "-hide_banner", "-filters"))
    lacking = [f"the encoder {name}" for name in ENCODERS if name not in encoders]
    lacking += [f"the filter {name}" for name in FILTERS if name not in filters]
    found = error(f"ffmpeg lacks {', '.join(lacking)}.", FFMPEG_FIX) if lacking else ok(version)
    for name, why in WISHED_FILTERS.items():
        if name not in filters:
            found += warning(f"ffmpeg lacks the filter {name}: {why}.", FFMPEG_FIX)
    return found


async def fonts(_: Patient) -> Sequence[Finding]:
    """Whether there is a font to draw subtitles with."""
    fix = "Install fontconfig and fonts: apt-get install fontconfig fonts-dejavu-core fonts-noto-core fonts-noto-cjk."
    if shutil.which("fc-list") is None:
        return warning("fontconfig is not installed: subtitles drawn into a picture may have no font.", fix)
    count = len((await _said("fc-list", ":", "family")).splitlines())
    return ok(f"{count} fonts are installed.") if count else warning("No font is installed.", fix)


async def _said(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode(errors="replace")


def _names(listed: str) -> set[str]:
    """The names in one of ffmpeg's lists: of each line the word after its flags."""
    return set(re.findall(r"^ [A-Z.|]+ +(\S+)", listed, re.MULTILINE))
