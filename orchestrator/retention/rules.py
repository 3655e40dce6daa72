"""How long what is kept, as a table."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, get_args

Kept = Literal[
    "upload",
    "video_translation",
    "audio_translation",
    "subtitles",
    "subtitle_translation",
    "subtitle_to_audio",
]
"""An uploaded file, or the results of a kind of job."""

DAY = 24.0

HOURS: Mapping[Kept, float] = {
    "upload": DAY,
    "video_translation": 30 * DAY,
    "audio_translation": DAY,
    "subtitles": 30 * DAY,
    "subtitle_translation": 30 * DAY,
    "subtitle_to_audio": DAY,
}
"""From the upload on, and from a job's completion on."""

assert set(HOURS) == set(get_args(Kept))  # noqa: S101


def kept_for(what: Kept, overrides: Mapping[Kept, float]) -> timedelta:
    """How long it is kept; `overrides` is the setting `retention_hours`."""
    return timedelta(hours=overrides.get(what, HOURS[what]))
