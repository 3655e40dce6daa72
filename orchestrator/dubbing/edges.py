"""Where speech is heard in its sound: the quiet around it is no part of it."""

import numpy as np
import numpy.typing as npt

AUDIBLE = 0.005
"""Of full scale (-46 dBFS): the quietest consonants of a voice at its usual level are louder."""
LEAD_S = 0.005
TAIL_S = 0.03
"""What is kept before and behind, so that no sound begins or ends cut off."""
QUIET_S = 0.15
"""How much is taken to be cut of speech at the voice's own rate: less than of three in four sentences of the starter
voice. Where it is more than really is, the rest is made up for (see `pace.tempo`)."""

Samples = npt.NDArray[np.float32]


def heard(samples: Samples, rate: int) -> Samples:
    """Speech [n] at `rate` Hz without the quiet that a voice puts before and behind it; silence stays as it is."""
    loud = np.flatnonzero(np.abs(samples) >= AUDIBLE)
    if not len(loud):
        return samples
    first = max(0, int(loud[0]) - round(LEAD_S * rate))
    return samples[first : int(loud[-1]) + 1 + round(TAIL_S * rate)]


def audible(seconds: float) -> float:
    """How much of speech that takes `seconds` at the voice's own rate is heard, at most."""
    return max(0.0, seconds - QUIET_S)
