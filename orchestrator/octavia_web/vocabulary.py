"""The frontend's words for our kinds, stages and percentages, as tables."""

from collections.abc import Mapping
from itertools import accumulate

from orchestrator.jobs.advance import WEIGHTS

TYPES: Mapping[str, str] = {
    "video_translation": "video",
    "audio_translation": "audio",
    "subtitles": "subtitles",
    "subtitle_translation": "subtitle_translation",
    "subtitle_to_audio": "subtitle_to_audio",
}

DOWNLOADS: Mapping[str, str] = {
    "video_translation": "/api/download/video/{id}",
    "audio_translation": "/api/download/audio/{id}",
    "subtitles": "/api/translate/download/subtitles/{id}",
    "subtitle_translation": "/api/translate/download/subtitles/{id}",
    "subtitle_to_audio": "/api/download/subtitle-audio/{id}",
}

ABSOLUTE = frozenset({"subtitles", "subtitle_translation"})
"""Kinds whose download link some page takes as it is, so that it must name the server."""

MAIN_ARTIFACTS: Mapping[str, tuple[str, ...]] = {
    "video_translation": ("video",),
    "audio_translation": ("audio",),
    "subtitles": ("subtitles",),
    "subtitle_translation": ("subtitles",),
    "subtitle_to_audio": ("audio",),
}
"""Kinds of artifact a page means by a job's result."""

SHOWN_UP_TO: Mapping[str, Mapping[str, int]] = {
    "video_translation": {
        "extracting": 20,
        "transcribing": 40,
        "translating": 60,
        "synthesizing": 85,
        "merging": 100,
    },
    "audio_translation": {"extracting": 3, "transcribing": 33, "translating": 66, "synthesizing": 97, "merging": 100},
    "subtitles": {"extracting": 30, "transcribing": 70, "translating": 95, "synthesizing": 95, "merging": 100},
}
"""Pages guess the stage from the percentage: up to which one each stage is shown."""


def shown_progress(kind: str, progress: int) -> int:
    """Our percentage bent so that the stage pages guess from it is the one at work. Grows with ours; 0 and 100 stay."""
    scale = SHOWN_UP_TO.get(kind)
    if scale is None:
        return progress
    ours = list(accumulate(WEIGHTS[kind][stage] for stage in scale))
    before_ours = before_shown = 0
    for end, shown in zip(ours, scale.values(), strict=True):
        if progress <= end and end > before_ours:
            share = (progress - before_ours) / (end - before_ours)
            return round(before_shown + share * (shown - before_shown))
        before_ours, before_shown = max(before_ours, end), max(before_shown, shown)
    return 100


def shown_status(kind: str, status: str) -> str:
    """Subtitle pages take a waiting job for a failed one."""
    return "processing" if status == "pending" and kind in ABSOLUTE else status
