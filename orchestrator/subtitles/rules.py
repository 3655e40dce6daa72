"""What a readable subtitle is, as data.

Sources: Netflix Timed Text general requirements and language guides (42 characters, 2 lines, 5/6 to 7 s, 2 frames;
zh 16 and 9 per second, ja 4, ko 16 and 12, th 35), BBC subtitle guidelines, IWSLT (42, 21 per second).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Rules:
    """A profile. Lengths in characters, times in seconds, reading speeds in characters per second."""

    line_length: int = 42
    lines: int = 2
    shortest: float = 5 / 6
    longest: float = 7.0
    gap: float = 2 / 24
    """Least time between two cues: two frames of film."""
    chain: float = 0.5
    """A gap shorter than this is closed down to `gap`."""
    comfortable_speed: float = 17.0
    """A cue stays on screen for this reading speed where there is time."""
    reading_speed: float = 20.0


PLAIN = Rules()

OF_LANGUAGE: dict[str, tuple[int, float, float]] = {
    "zh": (16, 7.0, 9.0),
    "yue": (16, 7.0, 9.0),
    "ja": (16, 6.0, 8.0),
    "ko": (16, 10.0, 12.0),
    "th": (35, 15.0, 20.0),
    "ru": (39, 15.0, 17.0),
}
"""Line length, comfortable and highest reading speed where a language differs.

Japanese may be read faster here than at Netflix's 4 per second: what is said is not condensed.
"""


def rules_for(language: str | None, profile: Rules = PLAIN) -> Rules:
    """The profile as it holds for a BCP 47 language."""
    own = OF_LANGUAGE.get((language or "").split("-")[0].lower())
    if own is None:
        return profile
    return replace(profile, line_length=own[0], comfortable_speed=own[1], reading_speed=own[2])
