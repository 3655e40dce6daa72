"""The quality report of one dub as data: every figure that was measured, and why the others were not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.dubbing import timing
from orchestrator.dubbing.loudness import Loudness
from orchestrator.dubbing.timeline import Placement, Slot
from orchestrator.quality.reasons import WORDS, Reason
from orchestrator.quality.warnings import figure, warnings_of

TIGHT_S = 0.02
"""Speech that runs past its slot by less than one video frame at 50 fps counts as inside."""

PARTS = ("transcript", "read_back", "loudness", "speech_quality", "speaker_similarity")
"""What may not have been measured."""

SUMMARY: Mapping[str, str] = {
    "segments": "fit.segments",
    "inside_slot_percent": "fit.inside_slot_percent",
    "p95_onset_error_s": "fit.p95_onset_error_s",
    "max_speed": "fit.max_speed",
    "duration_compliance": "fit.duration_compliance",
    "transcript_confidence": "transcript.mean_probability",
    "read_back_error_percent": "read_back.error_percent",
    "integrated_lufs": "loudness.integrated_lufs",
    "true_peak_dbtp": "loudness.true_peak_dbtp",
    "speech_quality": "speech_quality.overall",
    "speaker_similarity": "speaker_similarity.lowest",
    "subtitle_violations": "subtitle_violations.total",
}
"""The figures a job shows, and where in the report they come from."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One segment as it was placed. `overflow` is the seconds past its slot, by its real length."""

    index: int
    speed: float
    seconds: float
    overflow: float
    placement: Placement
    slot: Slot


@dataclass(frozen=True, slots=True)
class Curve:
    """Short-term loudness in LUFS every `step` seconds, None where it is silent (EBU Tech 3341: over 3 s)."""

    step: float
    lufs: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a finished dub. A part that is None has its reason in `reasons`.

    `goal`: the loudness it should have, in LUFS. `subtitle_violations`: how often each rule is broken.
    `notices`: [{"code", "message"}], what the job warned of, such as "toy_translation" or "stand_in_voice".
    """

    media_seconds: float
    output_seconds: float
    goal: float
    loudness: Loudness | None = None
    curve: Curve | None = None
    subtitle_violations: Mapping[str, int] = field(default_factory=dict)
    transcript: Mapping[str, Any] | None = None
    read_back: Mapping[str, Any] | None = None
    speech_quality: Mapping[str, Any] | None = None
    speaker_similarity: Mapping[str, Any] | None = None
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    notices: Sequence[Mapping[str, str]] = ()


def quality_report(language: str, spoken: Sequence[Spoken], measured: Measured) -> dict[str, Any]:
    """The report as JSON-ready data; times in seconds rounded to milliseconds."""
    report = {
        "language": language,
        "flags": sorted({notice["code"] for notice in measured.notices}),
        "notices": [dict(notice) for notice in measured.notices],
        "fit": _fit(spoken),
        "loudness": None if measured.loudness is None else _loudness(measured.loudness, measured.goal, measured.curve),
        "duration": _duration(measured.media_seconds, measured.output_seconds),
        "subtitle_violations": {"total": sum(measured.subtitle_violations.values()), **measured.subtitle_violations},
        "transcript": measured.transcript,
        "read_back": measured.read_back,
        "speech_quality": measured.speech_quality,
        "speaker_similarity": measured.speaker_similarity,
        "segments": [_segment(each) for each in spoken],
    }
    report["not_measured"] = {
        part: WORDS[measured.reasons[part]] for part in PARTS if report[part] is None and part in measured.reasons
    }
    return {**report, "warnings": warnings_of(report)}


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """What a job shows of its report: a handful of figures, None where not measured, and the warnings."""
    figures = {name: figure(report, path) for name, path in SUMMARY.items()}
    for name in ("segments", "subtitle_violations"):
        figures[name] = int(figures[name] or 0)
    return {**figures, "not_measured": report["not_measured"], "warnings": report["warnings"]}


def _segment(each: Spoken) -> dict[str, Any]:
    return {
        "index": each.index,
        "start_s": round(each.slot.onset, 3),
        "speech_end_s": round(each.slot.speech_end, 3),
        "slot_end_s": round(each.slot.end, 3),
        "onset_s": round(each.placement.onset, 3),
        "onset_error_s": round(each.placement.delay, 3),
        "speed": round(each.speed, 3),
        "seconds": round(each.seconds, 3),
        "overflow_s": round(each.overflow, 3),
        "beyond_end_s": round(each.placement.beyond, 3),
    }


def _fit(spoken: Sequence[Spoken]) -> dict[str, Any]:
    inside = sum(each.overflow < TIGHT_S for each in spoken)
    delays = sorted(each.placement.delay for each in spoken)
    placements = [each.placement for each in spoken]
    return {
        "segments": len(spoken),
        "inside_slot_percent": round(100 * inside / len(spoken), 1) if spoken else None,
        "max_speed": round(max((each.speed for each in spoken), default=1.0), 3),
        "min_speed": round(min((each.speed for each in spoken), default=1.0), 3),
        "speeds": [asdict(each) for each in timing.speed_histogram([each.speed for each in spoken])],
        "overflow_s": round(sum(each.overflow for each in spoken), 3),
        "overlaps": timing.overlaps(placements),
        "mean_onset_error_s": round(sum(delays) / len(delays), 3) if delays else 0.0,
        "p95_onset_error_s": round(delays[math.ceil(0.95 * len(delays)) - 1], 3) if delays else 0.0,
        "max_onset_error_s": round(delays[-1], 3) if delays else 0.0,
        "beyond_end_s": round(max((each.placement.beyond for each in spoken), default=0.0), 3),
        **_beside_the_original(spoken),
    }


def _beside_the_original(spoken: Sequence[Spoken]) -> dict[str, Any]:
    """How the lengths compare; None where there is no speech to compare with, as of a subtitle file."""
    beside = [each for each in spoken if each.slot.own > 0]
    names = ("duration_compliance", "share_off_percent", "silence_added_s", "silence_added_percent")
    if not beside:
        return dict.fromkeys(names)
    pairs = [(each.slot.own, each.seconds) for each in beside]
    silence = timing.silence_added([each.slot for each in beside], [each.placement for each in beside])
    compliance, off = timing.duration_compliance(pairs), timing.share_off(pairs, seconds=0.3)
    share = silence / sum(each.slot.own for each in beside)
    return dict(
        zip(names, (round(compliance, 3), round(100 * off, 1), round(silence, 3), round(100 * share, 1)), strict=True)
    )


def _duration(media: float, output: float) -> dict[str, float]:
    difference = round(output - media, 3)
    return {
        "media_s": round(media, 3),
        "output_s": round(output, 3),
        "difference_s": difference,
        "off_s": abs(difference),
    }


def _loudness(measured: Loudness, goal: float, curve: Curve | None) -> dict[str, Any]:
    """JSON knows no infinity: silence is None."""
    silent = measured.is_silent
    return {
        "integrated_lufs": None if silent else round(measured.integrated, 2),
        "true_peak_dbtp": None if silent else round(measured.true_peak, 2),
        "range_lu": None if silent else round(measured.range, 2),
        "silent": silent,
        "target_lufs": goal,
        "off_target_lu": None if silent else round(abs(measured.integrated - goal), 2),
        "short_term": None if curve is None else {"step_s": curve.step, "lufs": list(curve.lufs)},
    }
