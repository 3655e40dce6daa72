"""Advanced SubStation Alpha files (v4+), as far as plain subtitles need it."""

from collections.abc import Iterable

from orchestrator.subtitles.cues import Cue

_HEAD = """[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,58,&H00FFFFFF,&H000000FF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,120,120,60,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""White letters with a dark edge at the bottom of a picture of 1920 by 1080."""


def dumps(cues: Iterable[Cue]) -> str:
    """The cues as ASS, to the hundredth of a second. Braces and backslashes in the text are shown, not obeyed."""
    lines = [f"Dialogue: 0,{_clock(cue.start)},{_clock(cue.end)},Default,,0,0,0,,{_text(cue)}\n" for cue in cues]
    return "".join([_HEAD, *lines])


def _clock(seconds: float) -> str:
    hundredths = round(max(0.0, seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _text(cue: Cue) -> str:
    """A backslash gets an invisible word joiner behind it, so that it begins no command."""
    lines = [line.replace("\\", "\\\u2060").replace("{", "\\{").replace("}", "\\}") for line in cue.lines]
    return "\\N".join(line for line in lines if line.strip())
