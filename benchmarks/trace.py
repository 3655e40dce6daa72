"""One real job's trace, from its upload to the e-mail about it, drawn as a picture.

Starts a model plane, an API, a worker, an SMTP server and a collector, all on this machine; a sample is uploaded and
dubbed, and what the collector was sent is drawn as a waterfall.

    python -m benchmarks.trace [--out trace.png] [--seconds 8]
"""

import argparse
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
from matplotlib.patches import Rectangle
from rich.console import Console

from benchmarks.machine import RESULTS
from tests.fixtures_model_plane import start_plane
from tests.fixtures_system import SAMPLE, System, run_job, system_environment
from tests.standins.otlp import Collector, SpanSeen
from tests.standins.smtp import SmtpServer

DUB: Mapping[str, Any] = {"kind": "audio_translation", "source_language": "en", "target_languages": ["es"]}
LAST = "send an e-mail"
COLOURS: Mapping[str, str] = {"octavia-api": "#4c78a8", "octavia-worker": "#f58518", "octavia-models": "#54a24b"}
MOST_ROWS = 120
"""A picture of more could not be read; the shortest are left out, and counted."""

console = Console(width=120)


def traces(spans: Sequence[SpanSeen]) -> dict[str, list[SpanSeen]]:
    """The spans of each trace, in order of their beginning."""
    found: dict[str, list[SpanSeen]] = defaultdict(list)
    for span in sorted(spans, key=lambda each: each.start):
        found[span.trace].append(span)
    return dict(found)


def trace_of_a_mail(spans: Sequence[SpanSeen]) -> list[SpanSeen]:
    """The spans of the one trace that ends with an e-mail; none where there is none yet."""
    ended = [span.trace for span in spans if span.name == LAST]
    return traces(spans)[ended[0]] if ended else []


def rows(trace: Sequence[SpanSeen]) -> list[tuple[int, SpanSeen]]:
    """The spans as they are drawn: children under their parents, each with its depth."""
    ids = {span.id for span in trace}
    children: dict[str, list[SpanSeen]] = defaultdict(list)
    for span in trace:
        children[span.parent if span.parent in ids else ""].append(span)
    drawn: list[tuple[int, SpanSeen]] = []

    def add(parent: str, depth: int) -> None:
        for span in children[parent]:
            drawn.append((depth, span))
            add(span.id, depth + 1)

    add("", 0)
    return drawn


def draw(trace: Sequence[SpanSeen], path: Path) -> None:
    """A waterfall: time from left to right, a bar each span, a colour each process."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    lines = rows(trace)
    kept = sorted(lines, key=lambda line: line[1].end - line[1].start, reverse=True)[:MOST_ROWS]
    left_out = len(lines) - len(kept)
    lines = [line for line in lines if line in kept]
    began = min(span.start for span in trace)
    figure, axes = plt.subplots(figsize=(15, 1.5 + 0.2 * len(lines)))
    for row, (depth, span) in enumerate(lines):
        width = max(span.end - span.start, 0.005)
        axes.barh(row, width, left=span.start - began, color=COLOURS.get(span.service, "#999999"), height=0.75)
        told = f"{'   ' * depth}{span.name}{_of(span.attributes)}"
        axes.text(-0.01, row, told, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=7)
        axes.text(span.start - began + width, row, f" {width * 1000:,.0f} ms", va="center", fontsize=6)
    axes.set_yticks([])
    axes.set_ylim(len(lines), -1)
    axes.set_xlabel("seconds since the upload began")
    axes.legend(handles=[Rectangle((0, 0), 1, 1, color=each) for each in COLOURS.values()], labels=list(COLOURS))
    title = f"trace {trace[0].trace}: {len(trace)} spans"
    axes.set_title(f"{title}, the {left_out} shortest left out" if left_out else title, fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _of(attributes: Mapping[str, Any]) -> str:
    """What a step works on: the number of its window or passage, and a language."""
    found = [str(each) for each in attributes.get("octavia.of", [])]
    return f" {' '.join(found)}" if found else ""


def ask_for_mails(system: System) -> None:
    """The local user wants to be told of what is completed."""
    wish = {"notifications": {"job_completed": True, "job_failed": True}}
    headers = {"Authorization": f"Bearer {system.token()}"}
    url = f"{system.state['api_url']}/v1/me/settings"
    httpx.patch(url, json=wish, headers=headers, trust_env=False).raise_for_status()


def collect(folder: Path, seconds: int) -> list[SpanSeen]:
    """The trace of a job on so many seconds of the sample."""
    media = folder / "sample.wav"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-i", str(SAMPLE), "-vn", "-t", str(seconds), str(media)]
    subprocess.run(command, check=True)
    with Collector() as collector, SmtpServer() as smtp:
        plane = start_plane(folder / "plane.log", OCTAVIA_OTLP_ENDPOINT=collector.endpoint)
        environment = system_environment(
            folder / "data",
            plane.address,
            OCTAVIA_OTLP_ENDPOINT=collector.endpoint,
            OCTAVIA_SMTP_HOST="127.0.0.1",
            OCTAVIA_SMTP_PORT=str(smtp.port),
            OCTAVIA_SMTP_TLS="none",
        )
        system = System(folder / "data", environment)
        try:
            system.start()
            ask_for_mails(system)
            job = system.ask(lambda client: run_job(client, media, **DUB))
            assert job["status"] == "completed", job
            collector.until(lambda spans: bool(trace_of_a_mail(spans)))
            system.stop()
        finally:
            plane.stop()
        return trace_of_a_mail(collector.spans)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "trace.png")
    parser.add_argument("--seconds", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trace = collect(Path(folder), arguments.seconds)
    draw(trace, arguments.out)
    by_service = {service: sum(span.service == service for span in trace) for service in COLOURS}
    console.print(f"{len(trace)} spans of one trace {by_service}: {arguments.out}")


if __name__ == "__main__":
    os.environ.setdefault("OCTAVIA_WEIGHTS", "starter")
    main()
