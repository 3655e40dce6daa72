"""Subtitles by profile: what each leaves of its rules broken, of the sample as it was really heard and of made speech.

The sample is transcribed by a running model plane (or, with `--transcript`, read from a job's transcript.en.json); the
same words are also said faster, to show where reading speeds give out. For each profile: cues, rules broken when every
sentence is simply cut at full lines and shown while it is said, rules broken after planning, and what is left.

    python -m benchmarks.subtitles [--transcript transcript.en.json]
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS, machine
from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.local.client import Client
from orchestrator.local.system import any_system
from orchestrator.settings import get_settings
from orchestrator.subtitles.check import check, count
from orchestrator.subtitles.cues import Cue, cues_of_segments
from orchestrator.subtitles.lines import break_lines, fits, tokenize
from orchestrator.subtitles.rules import PROFILES, Rules, rules_for

SAMPLE = Path(__file__).parents[1] / "samples" / "sense-and-sensibility.mp4"
HURRIES = (1.0, 1.5, 2.0, 3.0)
"""How many times as fast the words are said."""
console = Console(width=140)


def hurried(segments: Sequence[Segment], times: float) -> list[Segment]:
    """The segments said so many times as fast, from the beginning on."""
    return [
        replace(
            segment,
            start=segment.start / times,
            end=segment.end / times,
            words=tuple(replace(word, start=word.start / times, end=word.end / times) for word in segment.words),
        )
        for segment in segments
    ]


def simply_cut(segments: Sequence[Segment], profile: Rules) -> list[Cue]:
    """As simple tools do it: full lines, each cue shown while its words are said."""
    cues: list[Cue] = []
    for segment in segments:
        rules = rules_for(segment.language, profile)
        words = [word for word in segment.words if word.text.strip()]
        first = 0
        for stop in range(1, len(words) + 1):
            rest = " ".join(word.text.strip() for word in words[first : stop + 1])
            tokens = tokenize(rest, segment.language, rules.line_length, rules.widths)
            if stop == len(words) or not fits(tokens, rules.line_length, rules.lines, rules.widths):
                said = " ".join(word.text.strip() for word in words[first:stop])
                tokens = tokenize(said, segment.language, rules.line_length, rules.widths)
                lines = break_lines(tokens, rules.line_length, rules.lines, segment.language, rules.widths)
                cues.append(Cue(words[first].start, words[stop - 1].end, lines))
                first = stop
    return cues


def judged(segments: Sequence[Segment], profile: Rules) -> dict[str, Any]:
    rules = rules_for(segments[0].language, profile)
    cues = cues_of_segments(segments, profile)
    left = check(cues, rules)
    return {
        "cues": len(cues),
        "simply cut": count(check(simply_cut(segments, profile), rules)),
        "left": count(left),
        "worst": max((each.value / each.limit for each in left if each.limit), default=None),
    }


async def heard() -> list[Segment]:
    """The sample's segments, transcribed by a running system or one started for it."""
    async with (
        any_system(get_settings(), lambda part: console.print(f"[dim]{part} …[/dim]")) as address,
        Client(address.api_url, address.token) as client,
    ):
        media = await client.upload(SAMPLE)
        job = await client.start({"kind": "subtitles", "media_id": media["id"]})
        async for _ in client.follow(job["id"]):
            pass
        job = await client.job(job["id"])
        if job["status"] != "completed":
            raise SystemExit(f"The sample could not be heard: {job['error']}")
        return of_rows(await client.segments(job["id"]))


def of_rows(rows: Sequence[dict[str, Any]]) -> list[Segment]:
    return [
        Segment(row["start"], row["end"], row["language"], row["text"], tuple(Word(**word) for word in row["words"]))
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transcript", type=Path, help="a job's transcript.<language>.json, instead of a new job")
    given = parser.parse_args().transcript
    rows = json.loads(given.read_text("utf-8"))["segments"] if given else None
    segments = of_rows(rows) if rows else asyncio.run(heard())
    results = {
        f"{hurry:g}": {name: judged(hurried(segments, hurry), profile) for name, profile in PROFILES.items()}
        for hurry in HURRIES
    }
    table = Table("speed", "profile", "cues", "broken when simply cut", "left", "worst")
    for hurry, by_profile in results.items():
        for name, found in by_profile.items():
            worst = f"{found['worst']:.2f} of the limit" if found["worst"] else ""
            table.add_row(hurry, name, str(found["cues"]), _told(found["simply cut"]), _told(found["left"]), worst)
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "subtitles.json").write_text(json.dumps({"machine": machine(), "results": results}, indent=1))


def _told(counted: dict[str, int]) -> str:
    return ", ".join(f"{number} {rule}" for rule, number in sorted(counted.items())) or "none"


if __name__ == "__main__":
    main()
