"""How loud the dub and what sounds beneath it are in one mix, before the whole is brought to its loudness.

The dub is set to `VOICE_LUFS`, for the ducking goes by its level; the bed under it goes up or down as a whole:

- voice_over: until the original is as loud as the dub. So it is between the lines; under them it is ducked.
- keep_background: by as much as would make the original's voices as loud as the dub, whose place the dub takes: speech
  and background keep the proportion they had.
"""

from dataclasses import dataclass
from typing import Literal

from orchestrator.dubbing.loudness import Loudness

Mix = Literal["replace", "voice_over", "keep_background"]

VOICE_LUFS = -16.0
MOST_RAISED_DB = 12.0
"""A bed is raised by no more: where it is as quiet as that there is mostly noise to be raised."""


@dataclass(frozen=True, slots=True)
class Levels:
    """With which gains in dB a dub was mixed: that of its whole track, before it those of the voice and of the bed.

    Without a bed (None) the voice is the whole track, and `voice_db` is 0.
    """

    gain_db: float
    voice_db: float = 0.0
    bed_db: float | None = None


def voice_gain(voice: Loudness) -> float:
    """The gain in dB of a dub's voice that has a bed; silence is left alone."""
    return 0.0 if voice.is_silent else VOICE_LUFS - voice.integrated


def bed_gain(bed: Loudness, voices: Loudness | None = None) -> float:
    """The gain in dB of the bed; `voices`: of the original, where they were taken out of it.

    The bed becomes no louder than the dub, whatever the original's proportions were.
    """
    if bed.is_silent:
        return 0.0
    most = VOICE_LUFS - bed.integrated
    wanted = most if voices is None or voices.is_silent else min(most, VOICE_LUFS - voices.integrated)
    return min(wanted, MOST_RAISED_DB)
