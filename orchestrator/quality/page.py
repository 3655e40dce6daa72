"""The quality report as a page: one file without scripts that fetches nothing, to be read on a screen or printed.

Texts of users are hostile: every one goes through `_text`, and the page's policy forbids whatever would load or run.
"""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.languages import name_of
from orchestrator.quality import plots
from orchestrator.quality.style import STYLE
from orchestrator.quality.warnings import figure

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LONGEST_TEXT = 240
NOTHING_BESIDE = "there is nothing to compare it with"
MOST_ROWS = 10
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
"""What is no text: controls, and marks that turn the direction of what follows."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure at the top: its path in the report, how it is written, what stands below it, and the codes of the
    warnings that are about it. `part`: the part of the report whose absence has a reason."""

    name: str
    path: str
    written: str
    more: str
    codes: tuple[str, ...]
    part: str = ""


TILES: Sequence[Tile] = (
    Tile("Fits its time", "fit.inside_slot_percent", "{:.0f}<small> % of sentences</small>", "spoken within their slot",
         ("out_of_slot", "overlaps", "beyond_end")),
    Tile("On time", "fit.p95_onset_error_s", "{:.2f}<small> s late</small>", "or less, 95 % of sentences", ("late",)),
    Tile("Fastest speech", "fit.max_speed", "{:.2f}<small> × natural</small>", "up to 1.2 goes unnoticed", ("fast",)),
    Tile("As long as the original", "fit.duration_compliance", "{:.2f}<small> of 1</small>",
         "mean ratio of lengths (IWSLT)", ("other_length", "dead_air")),
    Tile("Transcript", "transcript.mean_probability", "{:.2f}<small> of 1</small>", "mean certainty of a word heard",
         ("unsure_transcript",), "transcript"),
    Tile("Heard differently", "read_back.error_percent", "{:.1f}<small> %</small>", "of what is said, by Whisper",
         ("hard_to_understand",), "read_back"),
    Tile("Loudness", "loudness.integrated_lufs", "{:.1f}<small> LUFS</small>", "EBU R128, over the whole",
         ("off_loudness", "silent"), "loudness"),
    Tile("True peak", "loudness.true_peak_dbtp", "{:.1f}<small> dBTP</small>", "at most -1 is safe", ("clipping",),
         "loudness"),
    Tile("Speech quality", "speech_quality.overall", "{:.1f}<small> of 5</small>", "as listeners rate it (DNSMOS)",
         ("poor_speech", "noisy"), "speech_quality"),
    Tile("Like the speaker", "speaker_similarity.lowest", "{:.2f}<small> of 1</small>", "cloned voice (Resemblyzer)",
         ("unlike_voice",), "speaker_similarity"),
    Tile("Subtitle rules broken", "subtitle_violations.total", "{:.0f}", "length, lines, reading speed, gaps",
         ("fast_subtitles",)),
    Tile("Duration", "duration.difference_s", "{:+.2f}<small> s</small>", "to the original", ("other_duration",)),
)  # fmt: skip
LEGEND = (
    ("original", "original speech"),
    ("slot", "pause the dub may use"),
    ("dub", "dub"),
    ("fast", "dub, faster than 1.2"),
    ("late", "dub, past its time"),
)


def page(report: Mapping[str, Any], title: str, texts: Mapping[int, str]) -> str:
    """The whole page. `title`: the file's name; `texts`: what each segment says, by its index."""
    language = name_of(report["language"])
    body = [
        f'<h1>Quality report: dub into {_text(language)}</h1><p class="of"><bdi>{_text(title)}</bdi></p>',
        _notices(report["notices"]),
        _verdict(report["warnings"]),
        f'<div class="tiles">{"".join(_tile(each, report) for each in TILES)}</div>',
        *_plots(report),
        _misfits(report["segments"], texts),
        _read_back(report["read_back"]),
        _transcript(report["transcript"]),
        "<footer>Speech quality and what was heard are judged by models, which err; the rest is measured."
        " The same figures, for every sentence, are in the JSON file beside this page.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Quality report: {_text(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def _text(value: str) -> str:
    """Any text as HTML, without controls, shortened."""
    clean = CONTROLS.sub(" ", value).strip()
    shown = clean if len(clean) <= LONGEST_TEXT else clean[: LONGEST_TEXT - 1].rstrip() + "…"
    return html.escape(shown.encode("utf-8", "replace").decode())


def _notices(notices: Sequence[Mapping[str, str]]) -> str:
    if not notices:
        return ""
    lines = "".join(f"<p>{_text(each['message'])}</p>" for each in notices)
    return f'<section class="notice"><h2>Please note</h2>{lines}</section>'


def _verdict(warnings: Sequence[Mapping[str, str]]) -> str:
    if not warnings:
        return (
            '<section class="verdict good"><h2>Nothing to complain of</h2><p>No figure is past its limit.</p></section>'
        )
    lines = "".join(f"<li>{_text(each['message'])}</li>" for each in warnings)
    title = "1 thing to look at" if len(warnings) == 1 else f"{len(warnings)} things to look at"
    return f'<section class="verdict warn"><h2>{title}</h2><ul>{lines}</ul></section>'


def _tile(tile: Tile, report: Mapping[str, Any]) -> str:
    value = figure(report, tile.path)
    if value is None:
        is_mute = report["fit"]["segments"] == 0 or tile.part == "loudness"
        why = report["not_measured"].get(tile.part) or ("nothing is spoken" if is_mute else NOTHING_BESIDE)
        return (
            f'<div class="tile absent"><div class="name">{tile.name}</div><div class="figure">not measured</div>'
            f'<div class="more">{_text(why)}</div></div>'
        )
    state = "warn" if {each["code"] for each in report["warnings"]} & {*tile.codes} else "good"
    return (
        f'<div class="tile {state}"><div class="name">{tile.name}</div>'
        f'<div class="figure">{tile.written.format(value)}</div><div class="more">{tile.more}</div></div>'
    )


def _plots(report: Mapping[str, Any]) -> Iterable[str]:
    fit, loudness = report["fit"], report["loudness"]
    if report["segments"]:
        legend = "".join(
            f'<span><svg viewBox="0 0 12 12"><rect class="{kind}" width="12" height="12"/></svg>{name}</span>'
            for kind, name in LEGEND
        )
        drawn = plots.timeline(report["segments"], report["duration"]["output_s"])
        yield _section("Time line", "", f'<div class="legend">{legend}</div>{drawn}')
        hint = "How many sentences are spoken how fast, where 1.0 is the voice's natural speed."
        yield _section("Speed of the voice", hint, plots.histogram(fit["speeds"]))
    if loudness and loudness["short_term"] and any(each is not None for each in loudness["short_term"]["lufs"]):
        hint = "Over the last 3 s at each moment, in LUFS (EBU R128). Gaps are silence."
        yield _section("Loudness", hint, plots.loudness(loudness["short_term"], loudness["target_lufs"]))


def _misfits(segments: Sequence[Mapping[str, Any]], texts: Mapping[int, str]) -> str:
    """The sentences that run furthest past their time, or begin latest."""
    bad = [each for each in segments if max(each["overflow_s"], each["onset_error_s"]) >= 0.02]
    if not bad:
        return ""
    bad.sort(key=lambda each: (-max(each["overflow_s"], each["onset_error_s"]), each["index"]))
    rows = [
        (
            plots.clock(each["start_s"]),
            f"{each['overflow_s']:.2f} s",
            f"{each['onset_error_s']:.2f} s",
            f"{each['speed']:.2f}",
            texts.get(each["index"], ""),
        )
        for each in bad[:MOST_ROWS]
    ]
    hint = "" if len(bad) <= MOST_ROWS else f"The {MOST_ROWS} worst of {len(bad)}."
    return _section("Sentences that do not fit", hint, _table(("At", "Too long by", "Late by", "Speed", "Says"), rows))


def _read_back(part: Mapping[str, Any] | None) -> str:
    if part is None or not part["worst"]:
        return ""
    rows = [(f"{each['error_percent']:.0f} %", each["said"], each["heard"] or "nothing") for each in part["worst"]]
    hint = f"{part['segments']} of {part['of_segments']} sentences were listened to by Whisper; these differ most."
    return _section("Said and heard", hint, _table(("Differs", "Said", "Heard"), rows, numbers=1))


def _transcript(part: Mapping[str, Any] | None) -> str:
    if part is None:
        return ""
    rows = [(f"{each['probability']:.2f}", each["text"]) for each in part["lowest"]]
    hint = (
        f"{part['low_words_percent']:g} % of {part['words']} words were heard with less certainty than 0.5. "
        "These sentences are the least certain:"
    )
    return _section("Transcript of the original", hint, _table(("Certainty", "Sentence"), rows, numbers=1))


def _section(title: str, hint: str, content: str) -> str:
    said = f'<p class="hint">{hint}</p>' if hint else ""
    return f"<section><h2>{title}</h2>{said}{content}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: int = 4) -> str:
    """The first columns hold `numbers`, the others texts."""
    kinds = [' class="number"' if at < numbers else "" for at in range(len(head))]
    top = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(kinds, head, strict=True))
    lines = "".join(
        "<tr>"
        + "".join(f'<td{kind}><bdi dir="auto">{_text(each)}</bdi></td>' for kind, each in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{top}</tr>{lines}</table></div>'
