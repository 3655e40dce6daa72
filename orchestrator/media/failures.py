"""What it means when ffmpeg fails: by what it wrote, and by how it ended."""

import os
import re
import signal
from dataclasses import dataclass
from typing import Any

from orchestrator.errors import OctaviaError
from orchestrator.media.limits import Limits
from orchestrator.media.whitelists import MAX_STREAMS

CONVERT = "Convert it to MP4 with H.264 and AAC, then upload it again."
ENDED_BY_SIGNAL = 255
"""How ffmpeg ends when a signal, such as that of its processor time, made it stop in order."""


class MediaError(OctaviaError):
    """A media file could not be read, or its result not be written."""

    def __init__(self, code: str, message: str, status: int = 422, **detail: Any) -> None:
        super().__init__(code, message, status, **detail)


@dataclass(frozen=True, slots=True)
class _Reason:
    pattern: str
    code: str
    message: str
    status: int = 422
    even_so: bool = False
    """ffmpeg takes it for the end of the file and ends as if all were well."""


REASONS = (
    _Reason(
        "No space left on device|File too large|Disk quota exceeded",
        "storage_full",
        "The server has no space left for what is made of the file. Nothing was stored; try again later.",
        507,
        even_so=True,
    ),
    _Reason(
        "exceeds max_streams parameter",
        "too_many_streams",
        f"The file has more than {MAX_STREAMS} tracks. Export it with its picture and sound only.",
    ),
    _Reason(
        r"Cannot allocate memory|malloc of size \d+ failed|bad_alloc|Out of memory",
        "media_too_heavy",
        "The file needs more memory than one may take: its picture is too large, or it is damaged. "
        "Convert it to MP4 with H.264 and AAC in at most 4K, then upload it again.",
        even_so=True,
    ),
    _Reason(
        r"Picture size (?P<size>\d+x\d+) (?:is invalid|exceeds)",
        "frame_too_large",
        "The picture has {size} pixels; at most 8192x4320 are accepted. Scale it down.",
    ),
    _Reason(
        "matches no streams|does not contain any stream",
        "media_empty",
        "The file has no such track. Export it with picture and sound, then upload it again.",
    ),
    _Reason(
        r"Codec \((?P<name>[\w-]+)\) not on whitelist",
        "codec_unsupported",
        f"The file has a track in {{name}}, a codec that is not accepted. {CONVERT}",
    ),
    _Reason(
        "Unknown decoder|Decoder .*not found|no decoder found|Could not find codec parameters|Unsupported codec",
        "codec_unsupported",
        f"The file uses a codec that cannot be read. {CONVERT}",
    ),
    _Reason(
        "moov atom not found|Invalid data found|Invalid NAL|EBML header parsing failed|End of file|partial file",
        "media_invalid",
        "The file is incomplete, damaged or not a media file. Check that it plays, then upload it again.",
    ),
)
"""What ffmpeg's last words mean, most telling first."""

_COMPLAINT = re.compile(r"^(?:\[[^\]\n]+ @ \w+\] )*\[(?:error|fatal|panic)\] (.*)", re.MULTILINE)
"""A line of ffmpeg's own with its level; what it quotes of a file never begins a line."""


def complaints(told: str) -> str:
    """Of what ffmpeg wrote with levels, the errors, without their levels: titles and comments of files are none."""
    return "\n".join(_COMPLAINT.findall(told))


def hidden(errors: str) -> bool:
    """Whether a run failed although it ended well."""
    return any(reason.even_so and re.search(reason.pattern, errors) for reason in REASONS)


def failure(errors: str, code: int | None) -> MediaError:
    """The error behind a failed run, by what it wrote last and the code (negative: the signal) it ended with."""
    for reason in REASONS:
        if found := re.search(reason.pattern, errors):
            return MediaError(reason.code, reason.message.format(**found.groupdict()), reason.status)
    if code is not None and code < 0:
        return MediaError("media_invalid", f"The file makes its decoder crash: it is damaged. {CONVERT}")
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = re.sub(r"(?:file:)?/\S+/", "", lines[-1])[:200] if lines else f"it ended with code {code}"
    return MediaError("media_failed", f"ffmpeg could not work on the file: {last}", 500)


def took_too_long(limits: Limits) -> MediaError:
    message = f"The file takes longer than the {limits.seconds:.0f} s allowed to one of its length. {CONVERT}"
    return MediaError("media_timeout", message, 504)


def stopped(code: int | None, lasted: float, limits: Limits) -> MediaError | None:
    """The error behind a process the kernel ended at a limit after `lasted` seconds; None: it ended by itself."""
    if code == -signal.SIGXFSZ:
        return failure("File too large", code)
    spent = lasted * (os.cpu_count() or 1) >= limits.processor_s
    if code in (-signal.SIGXCPU, -signal.SIGKILL, ENDED_BY_SIGNAL) and spent:
        return took_too_long(limits)
    if code == -signal.SIGKILL:
        return MediaError("out_of_memory", "The server ran out of memory. Try again later.", 503)
    return None
