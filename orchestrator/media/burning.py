"""Subtitles painted into a picture, by ffmpeg's filter `ass` (libass, HarfBuzz, FriBidi: any script and direction).

Letters come from the fonts of this machine, as fontconfig finds them: scripts/system_packages.sh installs some for all
scripts. Emoji come out in one colour, or as boxes where no font has them: libass draws no colour fonts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.media.streams import Stream
from orchestrator.subtitles import ass
from orchestrator.subtitles.cues import Cue

FONT = "sans-serif"
"""fontconfig's name for the machine's usual one; other scripts come from whichever font has them."""
NAME = "burned.ass"


@dataclass(frozen=True, slots=True)
class BurnedSubtitles:
    """Cues in a language, whose lines have so many narrow characters at the most."""

    language: str
    cues: Sequence[Cue]
    columns: float = 42


def burned(frames: Any, picture: Stream, subtitles: BurnedSubtitles, folder: Path, end: float) -> Any:
    """The frames with the subtitles painted on them, their pixels made square; the file lies in our own `folder`.

    Only the path of that folder and a name of ours reach ffmpeg's graph, escaped by ffmpeg-python.
    """
    width, height = picture.shown
    path = folder / NAME
    inside = [replace(cue, end=min(cue.end, end)) for cue in subtitles.cues if cue.start < end]
    layout = ass.Picture(width, height, subtitles.columns)
    path.write_text(ass.dumps(inside, subtitles.language, picture=layout, font=FONT), "utf-8")
    if picture.pixel_aspect != 1.0:
        frames = frames.filter("scale", "trunc(iw*sar/2)*2", "ih").filter("setsar", 1)
    return frames.filter("ass", filename=str(path), shaping="complex")
