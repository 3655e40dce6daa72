"""How a dub fits: the sample and ten minutes with pauses of 0.1 to 4 s, dubbed by the running system.

`--compare` also plans the ten minutes' own translations in other ways: with the best translation alone, with each
segment by itself, and by speeding up whatever is too long, as other programs do.

    python -m benchmarks.fit [--seconds 600] [--dense] [--compare]
"""

import argparse
import asyncio
import json
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS, machine
from benchmarks.passage import VOICE, Passage, build
from orchestrator.dubbing import fit
from orchestrator.dubbing.edges import audible
from orchestrator.dubbing.fit import FASTEST, Candidate, Choice, Slot, place, slots
from orchestrator.dubbing.pace import APART_S, FAST
from orchestrator.dubbing.timeline import Fit
from orchestrator.dubbing.timing import duration_compliance, overlaps, share_off, silence_added, speed_histogram
from orchestrator.inference import Inference, Utterance
from orchestrator.local.client import Client
from orchestrator.local.up import up
from orchestrator.quality.report import TIGHT_S
from orchestrator.settings import get_settings

SAMPLE = Path(__file__).parents[1] / "samples" / "sense-and-sensibility.mp4"
TARGET = "es"
AT_ONCE = 32
AUDIBLE = 0.01
HEARD_RATE = 16_000
HYPOTHESES = 8
"""Twice as many as a job asks for: are they worth it?"""
console = Console(width=140)

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judged:
    """One dub. Shares 0-1, times in seconds. Onset errors are of what is heard in the dub against the segment's start;
    `true_onset_p95_s` against where the original is really heard, hearing included.
    """

    segments: int
    in_slot_at_ease: float
    max_speed: float
    min_speed: float
    overlaps: int
    onset_error_p50_s: float
    onset_error_p95_s: float
    onset_error_max_s: float
    first_onset_error_s: float
    last_onset_error_s: float
    true_onset_p95_s: float | None
    duration_compliance: float
    share_off: float
    silence_added_s: float
    neighbour_jump_mean: float
    neighbour_jump_max: float
    speeds: dict[str, int]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def judge(segments: Sequence[dict[str, Any]], sound: Samples, seconds: float, passage: Passage | None = None) -> Judged:
    """What became of a media of `seconds` whose dub is `sound` [n] at HEARD_RATE. `segments` are as the API shows them
    and all spoken.
    """
    renditions = [each["renditions"][0] for each in segments]
    starts, lengths = [each["start"] for each in segments], [each["seconds"] for each in renditions]
    there = slots(starts, [each["end"] for each in segments], seconds)
    placements = place(starts, lengths, seconds)
    errors = [abs(_heard_from(sound, each["start"]) - each["start"]) for each in segments]
    pairs = [(each["end"] - each["start"], length) for each, length in zip(segments, lengths, strict=True)]
    speeds = [each["speed"] for each in renditions]
    jumps = _jumps(there, lengths, speeds)
    at_ease = [each["overflow"] < TIGHT_S and each["speed"] <= FAST for each in renditions]
    true = [min(abs(start - one.start) for start in starts) for one in passage.spoken] if passage else []
    return Judged(
        segments=len(segments),
        in_slot_at_ease=sum(at_ease) / len(at_ease),
        max_speed=max(speeds),
        min_speed=min(speeds),
        overlaps=overlaps(placements),
        onset_error_p50_s=statistics.median(errors),
        onset_error_p95_s=percentile(errors, 0.95),
        onset_error_max_s=max(errors),
        first_onset_error_s=errors[0],
        last_onset_error_s=errors[-1],
        true_onset_p95_s=percentile([each for each in true if each < 1.0], 0.95) if true else None,
        duration_compliance=duration_compliance(pairs),
        share_off=share_off(pairs),
        silence_added_s=silence_added(there, placements),
        neighbour_jump_mean=statistics.mean(jumps) if jumps else 0.0,
        neighbour_jump_max=max(jumps, default=0.0),
        speeds={f"{each.low:.3f}-{each.high:.3f}": each.count for each in speed_histogram(speeds)},
    )


def _heard_from(sound: Samples, start: float) -> float:
    """When the dub is first heard from just before `start` on."""
    first = max(0, round((start - 0.04) * HEARD_RATE))
    loud = np.flatnonzero(np.abs(sound[first:]) > AUDIBLE)
    return (first + int(loud[0])) / HEARD_RATE if len(loud) else math.inf


def _jumps(slots: Sequence[Slot], lengths: Sequence[float], speeds: Sequence[float]) -> list[float]:
    """The changes of speed between neighbours less than APART_S of silence apart."""
    return [
        abs(faster - slower)
        for (one, following), length, (slower, faster) in zip(
            pairwise(slots), lengths[:-1], pairwise(speeds), strict=True
        )
        if following.onset - one.onset - length < APART_S
    ]


async def dub(client: Client, source: Path, folder: Path) -> tuple[list[dict[str, Any]], Samples]:
    """Dub a file's sound: its segments, and the dub [n] at HEARD_RATE."""
    media = await client.upload(source)
    wanted = {"kind": "audio_translation", "media_id": media["id"], "target_languages": [TARGET]}
    job = await client.start({**wanted, "source_language": "en", "options": {"format": "wav"}})
    async for event in client.follow(job["id"]):
        last = event
    if last["type"] != "completed":
        raise RuntimeError(f"the dub of {source.name} {last['type']}: {last}")
    path = await client.download(job["id"], f"{TARGET}.wav", folder / f"{source.stem}.{TARGET}.wav")
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    sound = np.asarray(soxr.resample(samples[:, 0], rate, HEARD_RATE), np.float32)
    return await client.segments(job["id"]), sound


async def candidates_of(models: Inference, segments: Sequence[dict[str, Any]]) -> list[list[Candidate]]:
    """Each segment's n-best with the seconds each is heard for."""
    found = await models.translate([each["text"] for each in segments], "en", TARGET, HYPOTHESES)
    utterances = [Utterance(each.text, TARGET, VOICE) for row in found for each in row]
    measured = [await models.seconds(utterances[at : at + AT_ONCE]) for at in range(0, len(utterances), AT_ONCE)]
    seconds = iter([each for some in measured for each in some])
    return [[Candidate(each.text, each.score, audible(next(seconds))) for each in row] for row in found]


def compare(segments: Sequence[dict[str, Any]], candidates: Sequence[Sequence[Candidate]], seconds: float) -> Table:
    """Ways to plan the same segments, translations and lengths; what each comes to by its own prediction."""
    there = slots([each["start"] for each in segments], [each["end"] for each in segments], seconds)
    best = [row[:1] for row in candidates]
    everyone = range(len(segments))
    ways = {
        "speed up to the original's length": [
            _sped_up(slot, row[0], slot.own, math.inf) for slot, row in _each(there, best)
        ],
        "the same, at most 1.4": [_sped_up(slot, row[0], slot.own, FASTEST) for slot, row in _each(there, best)],
        "speed up to the slot": [_sped_up(slot, row[0], slot.seconds, math.inf) for slot, row in _each(there, best)],
        "best translation, each alone": _by_passage(segments, there, best, everyone),
        "best translation": _by_passage(segments, there, best),
        **{
            f"{count}-best": _by_passage(segments, there, [row[:count] for row in candidates])
            for count in (2, 4, HYPOTHESES)
        },
    }
    columns = (
        "in slot",
        "in slot, ≤ 1.2",
        "max speed",
        "min",
        "mean jump",
        "max jump",
        "IWSLT",
        "> 0.3 s off",
        "other text",
    )
    table = Table(title=f"{len(segments)} segments, the same translations and predicted lengths ({machine()})")
    for column in ("", *columns):
        table.add_column(column, justify="left" if not column else "right")
    for name, chosen in ways.items():
        table.add_row(name, *_figures(there, chosen, best))
    return table


def _each(there: Sequence[Slot], rows: Sequence[Sequence[Candidate]]) -> list[tuple[Slot, Sequence[Candidate]]]:
    return list(zip(there, rows, strict=True))


def _sped_up(slot: Slot, candidate: Candidate, room: float, fastest: float) -> Choice:
    """As programs do that know no neighbours: never slower than the voice's own rate, as fast as the room asks for."""
    speed = min(fastest, max(1.0, candidate.natural_seconds / room if room > 0 else fastest))
    length = candidate.natural_seconds / speed
    return Choice(candidate, Fit(speed, length, max(0.0, length - slot.seconds)), slot)


def _by_passage(
    segments: Sequence[dict[str, Any]],
    there: Sequence[Slot],
    rows: Sequence[Sequence[Candidate]],
    turns: Sequence[int] = (),
) -> list[Choice]:
    chosen: list[Choice] = []
    for number in sorted({each["passage"] for each in segments}):
        at = [index for index, each in enumerate(segments) if each["passage"] == number]
        chosen += fit.plan([there[index] for index in at], [rows[index] for index in at], turns)
    return chosen


def _figures(there: Sequence[Slot], chosen: Sequence[Choice], best: Sequence[Sequence[Candidate]]) -> list[str]:
    fits = [each.fit for each in chosen]
    inside = [each.overflow < TIGHT_S for each in fits]
    jumps = _jumps(there, [each.seconds for each in fits], [each.speed for each in fits])
    pairs = [(slot.own, each.seconds) for slot, each in zip(there, fits, strict=True)]
    others = sum(each.candidate is not row[0] for each, row in zip(chosen, best, strict=True))
    return [
        f"{100 * sum(inside) / len(fits):.1f} %",
        f"{100 * sum(one and each.speed <= FAST for one, each in zip(inside, fits, strict=True)) / len(fits):.1f} %",
        f"{max(each.speed for each in fits):.2f}",
        f"{min(each.speed for each in fits):.2f}",
        f"{statistics.mean(jumps):.3f}",
        f"{max(jumps):.2f}",
        f"{duration_compliance(pairs):.3f}",
        f"{100 * share_off(pairs):.1f} %",
        str(others),
    ]


async def measure(seconds: float, dense: bool, comparing: bool, folder: Path) -> None:
    async with (
        up(get_settings(), private=True, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address,
        Client(address.api_url, address.token) as client,
        Inference(address.model_address) as models,
    ):
        passage = await build(models, folder / "passage.wav", seconds, dense=dense)
        figures: dict[str, Any] = {}
        for path, known in ((SAMPLE, None), (passage.path, passage)):
            segments, sound = await dub(client, path, folder)
            judged = judge(segments, sound, len(sound) / HEARD_RATE, known)
            figures[path.name] = asdict(judged)
            console.print(path.name, f"{len(sound) / HEARD_RATE:.1f} s,", machine())
            console.print_json(json.dumps({name: _rounded(value) for name, value in asdict(judged).items()}))
        if comparing:
            candidates = await candidates_of(models, segments)
            console.print(compare(segments, candidates, passage.seconds))
            figures["candidates"] = [[asdict(each) for each in row] for row in candidates]
            figures["segments"] = segments
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "fit.json").write_text(json.dumps(figures, indent=1))


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--dense", action="store_true", help="half of the pauses under 0.63 s")
    parser.add_argument("--compare", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(arguments.seconds, arguments.dense, arguments.compare, Path(folder)))


if __name__ == "__main__":
    main()
