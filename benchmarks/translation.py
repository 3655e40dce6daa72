"""Opus-MT through the plane against our own class in process, and against transformers.

The same random weights of the real size (benchmarks/large_marian.py), the same sentences, beam 4, and every
translation of the same forced length, so that all do equal work. Each contender is a process of its own with two
threads that takes its turn; seconds on the clock and on the processor are both given. int8 is what Octavia converts to
unless told otherwise, and what transformers has no like of on a CPU; so float32 is shown as well.

The forced length is config.pbtxt's parameter `forced_tokens`, which no caller can set; the plane of this benchmark has
a model repository of its own, in a temporary folder.

    python -m benchmarks.translation [--rounds 3] [--sentences 64] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc as triton

from benchmarks.large_marian import make
from benchmarks.machine import RESULTS, machine
from benchmarks.measurements import Measurement, add_json_option, times_faster, write
from benchmarks.mixed import tensor
from serve.catalogue import load_catalogue
from serve.models.base import WeightSet, bytes_column
from serve.repository import read_model
from serve.settings import CHECKOUT, ServeSettings
from serve.weights import ensure
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import write_serve_yaml

FORCED = 24
THREADS = 2
WEIGHTS = RESULTS / "large-marian"
PEER_BATCHES = (8, 16, 32, 64)
OWN_BATCHES = (32, 64, 128)
MOST_ROWS = 64
RATIOS = (
    ("in process, int8", "gRPC, int8, 1 at once"),
    ("in process, int8", "gRPC, int8, 2 at once"),
    ("transformers", "in process, int8"),
    ("transformers", "gRPC, int8, 2 at once"),
    ("transformers", "in process, float32"),
)
"""Who is compared with whom: how many times as long the first takes."""

CATALOGUE = """
[[weights]]
name = "large-marian"
model = "opus_mt"
sets = ["starter"]
convert = "marian"
source = "file:{source}"
source_language = "en"
target_language = "es"
licence = "CC0-1.0"
licence_chain = "CC0-1.0: random numbers"
paid_use = false
"""


def sentences(count: int) -> list[str]:
    """English sentences of the starter phrases, longest first left as they come, repeated until there are enough."""
    table = tomllib.loads((CHECKOUT / "scripts" / "starter_phrases.toml").read_text(encoding="utf-8"))
    known = [row[0] for name in ("everyday", "story", "heard") for row in table[name]]
    return [known[i % len(known)] for i in range(count)]


def write_repository(folder: Path, compute_type: str) -> Path:
    """A model repository with opus_mt alone, its catalogue naming the large Marian, its parameters forced."""
    model = folder / "opus_mt"
    model.mkdir(parents=True)
    text = (CHECKOUT / "model_repo" / "opus_mt" / "config.pbtxt").read_text(encoding="utf-8")
    for name, old, new in (("threads", "1", str(THREADS)), ("compute_type", "int8", compute_type)):
        pair = f'parameters {{ key: "{name}" value: {{ string_value: "%s" }} }}'
        assert pair % old in text, name
        text = text.replace(pair % old, pair % new)
    forced = f'parameters {{ key: "forced_tokens" value: {{ string_value: "{FORCED}" }} }}\n'
    (model / "config.pbtxt").write_text(text + forced, encoding="utf-8")
    (folder / "catalogue.toml").write_text(CATALOGUE.format(source=WEIGHTS.resolve()), encoding="utf-8")
    return folder


def own(repository: Path) -> Callable[[Sequence[str], int], int]:
    """Our class in this process."""
    from serve.models.opus_mt import OpusMt  # noqa: PLC0415 - in the contender's own process

    (entry,) = load_catalogue(repository / "catalogue.toml").entries
    weights = ensure(entry, ServeSettings(weights_dir=RESULTS / "weights"))
    facts = {"source": "en", "target": "es"}
    model = OpusMt(read_model(repository / "opus_mt").parameters, [WeightSet(entry.name, weights.folder, facts)])
    model.load()
    held = model.open("en,es")

    def run(texts: Sequence[str], batch: int) -> int:
        assert held
        made = 0
        for start in range(0, len(texts), batch):
            part = texts[start : start + batch]
            codes = {"SOURCE": bytes_column(["en"] * len(part)), "TARGET": bytes_column(["es"] * len(part))}
            (answer,) = model.infer([{"TEXT": bytes_column(part), **codes}], [set()])
            assert isinstance(answer, dict), answer
            made += len(answer["TRANSLATIONS"])
        return made

    return run


def peer() -> Callable[[Sequence[str], int], int]:
    """What a user would write with transformers, its batches sorted by length."""
    import torch  # noqa: PLC0415 - in the contender's own process
    from transformers import MarianMTModel, MarianTokenizer  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    tokenizer = MarianTokenizer.from_pretrained(WEIGHTS)
    model = MarianMTModel.from_pretrained(WEIGHTS).eval()  # type: ignore[no-untyped-call]

    def run(texts: Sequence[str], batch: int) -> int:
        ordered = sorted(texts, key=len)
        made = 0
        with torch.inference_mode():
            for start in range(0, len(ordered), batch):
                inputs = tokenizer(ordered[start : start + batch], return_tensors="pt", padding=True)
                tokens = model.generate(**inputs, num_beams=4, min_new_tokens=FORCED, max_new_tokens=FORCED)
                made += len(tokenizer.batch_decode(tokens, skip_special_tokens=True))
        return made

    return run


def serve_lines(run: Callable[[Sequence[str], int], int]) -> None:
    """A contender's process: a JSON line with texts and batch in, one with the count out."""
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        texts, batch = json.loads(line)
        print(json.dumps(run(texts, batch)), flush=True)


class Contender:
    """A contender in a process of its own."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.batch = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.translation", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(THREADS) if name == "transformers" else "1"},
        )
        self._read()

    def run(self, texts: Sequence[str], batch: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([texts, batch]) + "\n")
        self._process.stdin.flush()
        assert self._read() == len(texts)

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(self._process.pid)]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class ThroughPlane:
    """Calls of so many rows through gRPC, `callers` at a time."""

    def __init__(self, name: str, plane: Plane, callers: int) -> None:
        self.name = name
        self.batch = 0
        self._plane = plane
        self._client = triton.InferenceServerClient(plane.address)
        self._callers = callers

    def run(self, texts: Sequence[str], batch: int) -> None:
        parts = [texts[start : start + batch] for start in range(0, len(texts), batch)]
        with ThreadPoolExecutor(self._callers) as pool:
            assert sum(pool.map(self._call, parts)) == len(texts)

    def processes(self) -> list[psutil.Process]:
        return [*self._plane.descendants(), psutil.Process()]

    def close(self) -> None:
        self._client.close()

    def _call(self, part: Sequence[str]) -> int:
        rows = {"TEXT": part, "SOURCE": ["en"] * len(part), "TARGET": ["es"] * len(part)}
        inputs = [tensor(name, [[value] for value in values], "BYTES") for name, values in rows.items()]
        return len(self._client.infer("opus_mt", inputs, client_timeout=600).as_numpy("TRANSLATIONS"))


def processor_s(processes: Sequence[psutil.Process]) -> float:
    """Seconds on the processor so far, of all of them."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def timed(contender: Any, texts: Sequence[str], batch: int) -> tuple[float, float]:
    """Seconds on the clock and on the processor."""
    processes = contender.processes()
    clock, cpu = time.perf_counter(), processor_s(processes)
    contender.run(texts, batch)
    return time.perf_counter() - clock, processor_s(processes) - cpu


def choose_batches(contenders: Sequence[Any], texts: Sequence[str]) -> None:
    """The batch in which each needs the least of the processor; the plane's calls are as large as the class's."""
    for each in contenders:
        sizes = PEER_BATCHES if each.name == "transformers" else OWN_BATCHES
        if isinstance(each, ThroughPlane):
            continue
        each.run(texts[:8], 8)
        each.batch = min((size for size in sizes if size <= len(texts)), key=lambda size: timed(each, texts, size)[1])
    best = {each.name: each.batch for each in contenders}
    for each in contenders:
        if isinstance(each, ThroughPlane):
            each.batch = max(32, min(MOST_ROWS, best["in process, int8"]))
            each.run(texts, each.batch)


def report(figures: dict[str, list[tuple[float, float]]], batches: dict[str, int], count: int) -> None:
    """A line a contender and the ratios that matter."""
    print(f"{count} sentences, beam 4, {FORCED} tokens each, {THREADS} threads; {machine()}")
    for name, runs in figures.items():
        clock, cpu = (statistics.median(run[i] for run in runs) for i in (0, 1))
        rate = count * FORCED
        print(
            f"{name:34} batch {batches[name]:3}  {clock:7.2f} s  processor {cpu:7.2f} s"
            f"  {rate / clock:6.0f} tokens/s  {rate / cpu:6.0f} tokens/processor s"
        )
    for slow, fast in RATIOS:
        if {slow, fast} <= figures.keys():
            ratios = [[a[i] / b[i] for a, b in zip(figures[slow], figures[fast], strict=True)] for i in (0, 1)]
            shown = [f"{np.median(each):5.2f} ({min(each):.2f}-{max(each):.2f})" for each in ratios]
            print(f"{slow} / {fast}: clock {shown[0]}, processor {shown[1]}")


def measurements(
    figures: dict[str, list[tuple[float, float]]], batches: dict[str, int], count: int
) -> list[Measurement]:
    """Tokens a second of every contender, and the ratios on the clock."""
    rates = [
        Measurement(
            name=_named(name),
            unit="tokens/s",
            better="higher",
            values=tuple(count * FORCED / clock for clock, _ in runs),
            section="peers",
            note=f"batch {batches[name]}",
        )
        for name, runs in figures.items()
    ]
    clocks = {name: [clock for clock, _ in runs] for name, runs in figures.items()}
    pairs = [(slow, fast) for slow, fast in RATIOS if {slow, fast} <= figures.keys()]
    return rates + [
        times_faster(f"{_named(fast)} against {_named(slow)}", clocks[slow], clocks[fast]) for slow, fast in pairs
    ]


def _named(contender: str) -> str:
    return contender if contender == "transformers" else f"octavia, {contender}"


def contenders(stack: ExitStack, without: Sequence[str]) -> list[Any]:
    """Everybody who takes part, started; the stack ends them."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    int8, float32 = (write_repository(folder / kind, kind) for kind in ("int8", "float32"))
    everybody: list[Any] = []
    if "plane" not in without:
        placed = {
            "max_ongoing_requests": 64,
            "ray_actor_options": {"num_cpus": 0.1},
            "graceful_shutdown_timeout_s": 300,
        }
        plane = start_plane(
            folder / "serve.log",
            OCTAVIA_PARENT_PID=str(os.getpid()),
            OCTAVIA_MODEL_REPO=str(int8),
            OCTAVIA_WEIGHTS_DIR=str(RESULTS / "weights"),
            OCTAVIA_SERVE_CONFIG=str(write_serve_yaml(folder / "serve.yaml", {"opus_mt": placed})),
        )
        stack.callback(plane.stop)
        everybody += [ThroughPlane(f"gRPC, int8, {n} at once", plane, n) for n in (1, 2)]
    everybody.append(Contender("in process, int8", "--own", str(int8)))
    if "transformers" not in without:
        everybody += [Contender("in process, float32", "--own", str(float32)), Contender("transformers", "--peer")]
    for each in everybody:
        stack.callback(each.close)
    return everybody


def compare(rounds: int, count: int, without: Sequence[str]) -> list[Measurement]:
    """Starts everybody, lets each find its batch, runs the rounds, and prints what came of them."""
    make(WEIGHTS)
    texts = sentences(count)
    with ExitStack() as stack:
        everybody = contenders(stack, without)
        choose_batches(everybody, texts)
        figures: dict[str, list[tuple[float, float]]] = {each.name: [] for each in everybody}
        for _ in range(rounds):
            for each in everybody:
                figures[each.name].append(timed(each, texts, each.batch))
                print(each.name, *(f"{seconds:.2f}" for seconds in figures[each.name][-1]), flush=True)
    batches = {each.name: each.batch for each in everybody}
    report(figures, batches, count)
    return measurements(figures, batches, count)


def main() -> None:
    """The comparison, or one contender's process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=64)
    parser.add_argument("--without", nargs="*", choices=("plane", "transformers"), default=())
    add_json_option(parser)
    parser.add_argument("--own", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        serve_lines(own(options.own))
    elif options.peer:
        serve_lines(peer())
    else:
        write(options.json, compare(options.rounds, options.sentences, options.without))


if __name__ == "__main__":
    main()
