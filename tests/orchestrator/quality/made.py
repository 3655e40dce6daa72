"""Reports made by hand, a good and a bad one, as a finished dub gives them."""

from collections.abc import Sequence
from typing import Any

from orchestrator.dubbing.fit import place, slots
from orchestrator.dubbing.loudness import Loudness
from orchestrator.quality.reading_back import compared, summed
from orchestrator.quality.report import Curve, Measured, Spoken, quality_report
from orchestrator.quality.transcript import HeardSegment, confidence

HOSTILE = '<script>alert("x")</script> & \'"><img src=x onerror=alert(1)> \u202eevil\u202c \x00\x1b[31m'


def spoken(
    starts: Sequence[float], ends: Sequence[float], lengths: Sequence[float], speeds: Sequence[float]
) -> list[Spoken]:
    """Segments with these times in a media of a minute, spoken for these lengths."""
    placed = place(starts, lengths, 60.0)
    return [
        Spoken(at, speeds[at], lengths[at], max(0.0, lengths[at] - slot.seconds), placed[at], slot)
        for at, slot in enumerate(slots(starts, ends, 60.0))
    ]


def measured(**changes: Any) -> Measured:
    values: dict[str, Any] = {
        "media_seconds": 60.0,
        "output_seconds": 60.02,
        "goal": -16.0,
        "loudness": Loudness(-16.04, -1.52, 5.0),
        "curve": Curve(1.0, [None, -30.0, *([-15.5, -17.2, -16.1] * 19), None]),
        "transcript": confidence(
            [HeardSegment(0, "Hello there.", [0.9, 0.8]), HeardSegment(1, "How are you?", [0.6, 0.7, 0.9])]
        ),
        "reasons": {"read_back": "not_asked", "speech_quality": "not_installed", "speaker_similarity": "not_cloned"},
    }
    return Measured(**{**values, **changes})


def good() -> dict[str, Any]:
    return quality_report("es", spoken([1, 5, 10], [4, 9, 14], [3.0, 4.0, 3.8], [1.0, 1.1, 0.9]), measured())


def bad(text: str = "This is what was said.", heard: str = "Vice is wart head.") -> dict[str, Any]:
    """Too long, too fast, too loud, misunderstood."""
    found = compared(0, text, heard, "en")
    return quality_report(
        "en",
        spoken([1, 3, 58], [2.9, 5, 59], [4.5, 6.0, 4.0], [1.4, 1.4, 1.4]),
        measured(
            loudness=Loudness(-12.0, 0.3, 2.0),
            subtitle_violations={"reading_speed": 2, "gap": 1},
            transcript=confidence([HeardSegment(0, text, [0.3, 0.2, 0.4])]),
            read_back=summed([found] if found else [], 3, 4.5, "en"),
            speech_quality={"overall": 1.9, "signal": 2.5, "background": 2.1, "p808": 2.2, "stretches": 3},
            speaker_similarity={"lowest": 0.55, "speakers": [{"speaker": "SPEAKER_00", "similarity": 0.55}]},
            reasons={},
            notices=[{"code": "toy_translation", "message": "The translation is a toy."}],
        ),
    )
