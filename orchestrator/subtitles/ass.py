"""Advanced SubStation Alpha files (v4+), as far as plain subtitles need it: one style, speakers, both directions."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.direction import embedded

_HEAD = """[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,{font},{size},&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,{edge},{shadow},2,\
{side},{side},{bottom},1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""White letters with a dark edge at the bottom of the picture."""

SIZE = 58 / 1080
"""Of the picture's height; a line of 42 characters is then about two thirds as wide as a picture of 16:9."""
NARROW = 0.5
"""How wide a character is, by the size of its font; wide ones are twice that."""
FILLED = 0.9
"""The share of the width a full line may take, where the picture is too narrow for the usual size."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the subtitles are laid out for, in pixels, and how many narrow characters a line may have."""

    width: int = 1920
    height: int = 1080
    columns: float = 42

    @property
    def size(self) -> float:
        """The font's size: less than usual in portrait, so that a full line is not wrapped."""
        return min(SIZE * self.height, FILLED * self.width / (NARROW * self.columns))


def dumps(
    cues: Iterable[Cue], language: str | None = None, *, picture: Picture | None = None, font: str = "Arial"
) -> str:
    """The cues as ASS, to the hundredth of a second. Braces and backslashes in the text are shown, not obeyed."""
    lines = [
        f"Dialogue: 0,{_clock(cue.start)},{_clock(cue.end)},Default,{_name(cue)},0,0,0,,{_text(cue, language)}\n"
        for cue in cues
    ]
    return "".join([_head(picture or Picture(), font), *lines])


def _head(picture: Picture, font: str) -> str:
    size = picture.size
    return _HEAD.format(
        width=picture.width,
        height=picture.height,
        font=font,
        size=f"{size:.4g}",
        edge=f"{size * 3 / 58:.3g}",
        shadow=f"{size / 58:.3g}",
        side=round(picture.width * (1 - FILLED) / 2),
        bottom=round(picture.height * 60 / 1080),
    )


def _clock(seconds: float) -> str:
    hundredths = round(max(0.0, seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _name(cue: Cue) -> str:
    """The speaker's name; a comma would end the field."""
    return " ".join((cue.speaker or "").replace(",", " ").split())


def _text(cue: Cue, language: str | None) -> str:
    """A backslash gets an invisible word joiner behind it, so that it begins no command."""
    lines = [line.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}") for line in cue.lines]
    return "\\N".join(embedded(line, language) for line in lines if line.strip())
