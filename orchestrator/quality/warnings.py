"""When a figure of a report is worth a word to the customer: a table of limits and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """Warn where the figure at `path` lies past `limit` (below it where `below`). The sentence may use `{value}`."""

    code: str
    path: str
    limit: float
    sentence: str
    below: bool = False


RULES: Sequence[Rule] = (
    Rule("silent", "loudness.silent", 0, "The result is silent: there is no speech in it."),
    Rule(
        "out_of_slot",
        "fit.inside_slot_percent",
        90,
        "{value:.0f} % of the sentences fit into their time; the others take longer than the original leaves them.",
        below=True,
    ),
    Rule(
        "late",
        "fit.p95_onset_error_s",
        0.2,
        "Some sentences begin {value:.1f} s late or more, because the one before them takes too long.",
    ),
    Rule(
        "fast",
        "fit.max_speed",
        1.25,
        "The voice has to speak up to {value:.2f} times as fast as it naturally would; that sounds rushed.",
    ),
    Rule("overlaps", "fit.overlaps", 0, "Sentences that are spoken over each other: {value:.0f}."),
    Rule(
        "beyond_end",
        "fit.beyond_end_s",
        0.1,
        "The last {value:.1f} s of the speech lie behind the end of the file and are not heard.",
    ),
    Rule(
        "dead_air",
        "fit.silence_added_percent",
        25,
        "During {value:.0f} % of the original's speech the dub is silent: the translation is much shorter.",
    ),
    Rule(
        "other_length",
        "fit.share_off_percent",
        50,
        "{value:.0f} % of the sentences are shorter or longer than the original's by more than 0.3 s, "
        "so lips and speech do not stop together.",
    ),
    Rule(
        "unsure_transcript",
        "transcript.low_words_percent",
        15,
        "{value:.0f} % of the original's words were hard to understand. Read through the transcript and correct it.",
    ),
    Rule(
        "hard_to_understand",
        "read_back.error_percent",
        20,
        "When the dub was listened to again, {value:.0f} % of it was understood differently. Listen to it yourself, "
        "or try another voice.",
    ),
    Rule(
        "poor_speech",
        "speech_quality.overall",
        2.5,
        "The speech would be rated {value:.1f} of 5 by listeners: it may sound unnatural or distorted.",
        below=True,
    ),
    Rule(
        "noisy",
        "speech_quality.background",
        3.0,
        "What is heard behind the speech disturbs: listeners would rate it {value:.1f} of 5.",
        below=True,
    ),
    Rule(
        "unlike_voice",
        "speaker_similarity.lowest",
        0.7,
        "A cloned voice is not much like the person's own ({value:.2f} of 1). A longer, cleaner recording helps.",
        below=True,
    ),
    Rule(
        "off_loudness",
        "loudness.off_target_lu",
        1.0,
        "The sound is {value:.1f} LU away from the loudness it should have.",
    ),
    Rule(
        "clipping",
        "loudness.true_peak_dbtp",
        -0.9,
        "The loudest peak is at {value:.1f} dBTP, above -1: some players will distort it.",
    ),
    Rule(
        "fast_subtitles",
        "subtitle_violations.reading_speed",
        0,
        "Subtitles that must be read faster than is comfortable: {value:.0f}.",
    ),
    Rule(
        "other_duration",
        "duration.off_s",
        0.5,
        "The result is {value:.1f} s longer or shorter than the original.",
    ),
)


def warnings_of(report: Mapping[str, Any], rules: Sequence[Rule] = RULES) -> list[dict[str, str]]:
    """[{"code", "message"}] in the table's order; what was not measured is not warned of."""
    found = []
    for rule in rules:
        value = figure(report, rule.path)
        if value is not None and (value < rule.limit if rule.below else value > rule.limit):
            found.append({"code": rule.code, "message": rule.sentence.format(value=value)})
    return found


def figure(report: Mapping[str, Any], path: str) -> float | None:
    """The figure at a dotted path; None where it, or a part on the way, was not measured."""
    found: Any = report
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
