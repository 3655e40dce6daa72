"""Plots of a report as SVG elements, drawn without any script: a time line, a histogram, a curve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.dubbing.pace import FAST

WIDTH = 920
LEFT = 56
RIGHT = 12
INNER = WIDTH - LEFT - RIGHT
ROW = 46
LANE = 13
ROWS = 14
ROW_SECONDS = {15: 5, 30: 6, 60: 6, 120: 6, 300: 5, 600: 5, 1800: 6, 3600: 6}
"""A row of the time line is as long as the first of these that needs at most `ROWS` rows, and has so many marks."""
FLOOR_LUFS, CEILING_LUFS = -50.0, 0.0
HEIGHT = 190
BOTTOM = 30


@dataclass(frozen=True, slots=True)
class Bar:
    """Something on the time line from `start` to `end` seconds, in a lane, of a class of the style sheet."""

    start: float
    end: float
    lane: int
    kind: str


def timeline(segments: Sequence[Mapping[str, Any]], duration: float) -> str:
    """The original's speech with its slots, and below it the dub's, in rows of equal time."""
    per_row = next((each for each in ROW_SECONDS if duration <= each * ROWS), max(ROW_SECONDS))
    rows = max(1, math.ceil(duration / per_row - 1e-9))
    bars = [bar for segment in segments for bar in _bars(segment, duration)]
    drawn = [_row(row, per_row) for row in range(rows)]
    for kind in ("slot", "original", "dub", "fast", "late"):
        parts = _joined([part for bar in bars if bar.kind == kind for part in _cut(bar, per_row)], per_row)
        path = "".join(_rectangle(part, per_row) for part in parts)
        drawn += [f'<path class="{kind}" d="{path}"/>'] if path else []
    return _svg(rows * ROW + 18, [*drawn, _ticks(rows, per_row)], "Time line of the original's speech and the dub's")


def _bars(segment: Mapping[str, Any], duration: float) -> Iterable[Bar]:
    onset, seconds = segment["onset_s"], segment["seconds"]
    end = min(onset + seconds, duration)
    kept = min(max(onset, segment["slot_end_s"]), end) if segment["overflow_s"] > 0 else end
    yield Bar(segment["start_s"], segment["slot_end_s"], 0, "slot")
    yield Bar(segment["start_s"], segment["speech_end_s"], 0, "original")
    yield Bar(onset, kept, 1, "fast" if segment["speed"] > FAST + 0.005 else "dub")
    yield Bar(kept, end, 1, "late")


def _cut(bar: Bar, per_row: float) -> Iterable[Bar]:
    """The bar in pieces, none of which goes over the end of a row."""
    start = bar.start
    while start < bar.end - 1e-6:
        end = min(bar.end, (math.floor(start / per_row + 1e-9) + 1) * per_row)
        yield Bar(start, end, bar.lane, bar.kind)
        start = end


def _joined(bars: Sequence[Bar], per_row: float) -> list[Bar]:
    """Bars of one kind in order, those of one row that nothing would be seen between drawn as one."""
    gap = per_row / INNER
    joined: list[Bar] = []
    for bar in bars:
        last = joined[-1] if joined else None
        if last and bar.start - last.end < gap and _row_of(bar, per_row) == _row_of(last, per_row) and _thin(bar, gap):
            joined[-1] = Bar(last.start, max(last.end, bar.end), bar.lane, bar.kind)
        else:
            joined.append(bar)
    return joined


def _thin(bar: Bar, gap: float) -> bool:
    return bar.end - bar.start < 3 * gap


def _row_of(bar: Bar, per_row: float) -> int:
    return math.floor(bar.start / per_row + 1e-9)


def _rectangle(bar: Bar, per_row: float) -> str:
    row = _row_of(bar, per_row)
    x = LEFT + (bar.start - row * per_row) / per_row * INNER
    width = max(1.2, (bar.end - bar.start) / per_row * INNER - 0.8)
    y = row * ROW + 8 + bar.lane * (LANE + 2)
    return f"M{x:.1f} {y}h{width:.1f}v{LANE}h-{width:.1f}z"


def _row(row: int, per_row: float) -> str:
    y = row * ROW + 8
    return (
        f'<rect class="lane" x="{LEFT}" y="{y}" width="{INNER}" height="{2 * LANE + 2}"/>'
        f'<text class="axis" x="{LEFT - 8}" y="{y + LANE + 5}" text-anchor="end">{clock(row * per_row)}</text>'
    )


def _ticks(rows: int, per_row: int) -> str:
    y = rows * ROW + 6
    parts = ROW_SECONDS[per_row]
    steps = [per_row * at / parts for at in range(parts + 1)]
    return "".join(
        f'<text class="axis" x="{LEFT + at / per_row * INNER:.1f}" y="{y}" '
        f'text-anchor="{_anchor(at, per_row)}">+{clock(at)}</text>'
        for at in steps
    )


def _anchor(at: float, end: float) -> str:
    return "start" if at == 0 else "end" if at == end else "middle"


def histogram(speeds: Sequence[Mapping[str, Any]]) -> str:
    """How many segments are spoken at which speed."""
    low: float = min(0.8, speeds[0]["low"])
    high: float = max(1.3, speeds[-1]["high"])
    most = max(each["count"] for each in speeds)
    floor = HEIGHT - BOTTOM

    def x(speed: float) -> float:
        return float(LEFT + (speed - low) / (high - low) * INNER)

    def bar(each: Mapping[str, Any]) -> str:
        height = each["count"] / most * (floor - 28)
        left, width = x(each["low"]) + 1.5, x(each["high"]) - x(each["low"]) - 3
        kind = "fast" if each["low"] >= FAST - 1e-9 else "dub"
        label = f'<text class="value" x="{left + width / 2:.1f}" y="{floor - height - 6:.1f}">{each["count"]}</text>'
        box = (
            f'<rect class="{kind}" x="{left:.1f}" y="{floor - height:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )
        return box + label

    marks = [round(low + 0.1 * at, 1) for at in range(math.floor((high - low) / 0.1 + 1e-9) + 1)]
    axis = [
        f'<text class="axis" x="{x(mark):.1f}" y="{floor + 18}" text-anchor="middle">{mark:.1f}×</text>'
        for mark in marks
        if low <= mark <= high
    ]
    base = f'<line class="base" x1="{LEFT}" x2="{LEFT + INNER}" y1="{floor}" y2="{floor}"/>'
    return _svg(HEIGHT, [*(bar(each) for each in speeds if each["count"]), base, *axis], "Speed of the voice")


def loudness(short_term: Mapping[str, Any], target: float) -> str:
    """Short-term loudness over time, and the loudness the whole should have."""
    values: Sequence[float | None] = short_term["lufs"]
    step: float = short_term["step_s"]
    seconds = step * max(1, len(values))
    floor = HEIGHT - BOTTOM

    def x(at: float) -> float:
        return float(LEFT + at / seconds * INNER)

    def y(lufs: float) -> float:
        share = (CEILING_LUFS - min(CEILING_LUFS, max(FLOOR_LUFS, lufs))) / (CEILING_LUFS - FLOOR_LUFS)
        return 8 + share * (floor - 8)

    grid = [
        f'<line class="grid" x1="{LEFT}" x2="{LEFT + INNER}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        f'<text class="axis" x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.0f}</text>'
        for mark in range(int(FLOOR_LUFS), 1, 10)
    ]
    points = [(x(at * step + step / 2), None if value is None else y(value)) for at, value in enumerate(values)]
    runs = "".join(_run(run) for run in _runs(points))
    goal = (
        f'<line class="target" x1="{LEFT}" x2="{LEFT + INNER}" y1="{y(target):.1f}" y2="{y(target):.1f}"/>'
        f'<text class="target-text" x="{LEFT + INNER}" y="{y(target) - 5:.1f}" text-anchor="end">'
        f"target {target:g} LUFS</text>"
    )
    axis = [
        f'<text class="axis" x="{x(at):.1f}" y="{floor + 18}" text-anchor="{_anchor(at, seconds)}">{clock(at)}</text>'
        for at in (seconds * part / 6 for part in range(7))
    ]
    return _svg(HEIGHT, [*grid, goal, f'<path class="curve" d="{runs}"/>', *axis], "Short-term loudness in LUFS")


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterable[list[tuple[float, float]]]:
    """Neighbouring points that have a value."""
    run: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            run.append((x, y))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _run(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    return f"M{x:.1f} {y:.1f}" + ("".join(f"L{x:.1f} {y:.1f}" for x, y in rest) or "h1.5")


def clock(seconds: float) -> str:
    """Seconds as 0:05 or 1:02:03."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    inner = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{title}</title>{inner}</svg>"
    )
