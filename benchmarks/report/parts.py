"""The parts of the report: each a benchmark of its own, run by its own command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from benchmarks.measurements import MEASUREMENTS, Measurement
from benchmarks.report.load import read_load

Reader = Callable[[bytes], list[Measurement]]


class UnreadableResultError(ValueError):
    """A part's result file is not what it should be."""


@dataclass(frozen=True, slots=True)
class Part:
    """A benchmark: what it is called with after `python -m`, and how its JSON becomes measurements.

    `seconds` is what it takes on two cores, its models' start included; it is stopped after far more.
    `quick` is the shorter command of `--quick`; a part without one is left out there. `runs` is how often the whole
    command is repeated, where one run of it is one round.
    """

    name: str
    about: str
    command: Sequence[str]
    seconds: int
    quick: Sequence[str] | None = None
    quick_seconds: int = 0
    runs: int = 1
    quick_runs: int = 1
    read: Reader | None = None

    def argv(self, quick: bool) -> Sequence[str]:
        return self.quick if quick and self.quick is not None else self.command

    def times(self, quick: bool) -> int:
        return self.quick_runs if quick else self.runs

    def expected_s(self, quick: bool) -> int:
        """Seconds of one run of the command."""
        return self.quick_seconds if quick and self.quick is not None else self.seconds

    def measurements(self, content: bytes) -> list[Measurement]:
        """What the part's JSON says. UnreadableResultError where it is damaged, empty, or says something twice."""
        try:
            found = (self.read or MEASUREMENTS.validate_json)(content)
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise UnreadableResultError(f"the result of {self.name} cannot be read: {error}") from error
        names = [each.name for each in found]
        if not names:
            raise UnreadableResultError(f"the result of {self.name} holds no measurement")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UnreadableResultError(f"the result of {self.name} says twice: {', '.join(twice)}")
        return found


def merged(runs: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """The measurements of several runs of one command, the values of each name in a row."""
    found: dict[str, Measurement] = {}
    for run in runs:
        for each in run:
            values = (*found[each.name].values, *each.values) if each.name in found else each.values
            found[each.name] = each.model_copy(update={"values": values})
    return list(found.values())


def load(profile: str, about: str, *, start_s: int, lasts_s: int, quick_s: int, quick_runs: int = 1) -> Part:
    """A profile of locust's users: a run is a round. Seconds of its start, and of the load."""
    command = ("benchmarks.load", "--profile", profile, "--users", "10", "--seconds")
    return Part(
        name=f"load-{profile}",
        about=about,
        command=(*command, str(lasts_s)),
        seconds=start_s + lasts_s,
        runs=3,
        quick=(*command, str(quick_s)),
        quick_seconds=start_s + quick_s,
        quick_runs=quick_runs,
        read=read_load,
    )


PARTS = (
    load(
        "browse",
        "Ten people sign in and look at their pages, without a pause.",
        start_s=12,
        lasts_s=15,
        quick_s=8,
        quick_runs=3,
    ),
    load(
        "translate",
        "Ten people upload subtitles, have them translated and fetch the result, without a pause.",
        start_s=50,
        lasts_s=30,
        quick_s=20,
    ),
    load("webhooks", "Ten senders of Polar's signed deliveries, without a pause.", start_s=12, lasts_s=15, quick_s=8),
    load("watchers", "Ten people follow their jobs by server-sent events.", start_s=12, lasts_s=15, quick_s=8),
    Part(
        name="dub",
        about="A one-minute video through the API against the script a user would write, in turn, warm.",
        command=("benchmarks.dub", "--runs", "5"),
        seconds=300,
        quick=("benchmarks.dub", "--runs", "3"),
        quick_seconds=150,
    ),
    Part(
        name="webhooks",
        about="Polar's deliveries, signed and each of an order of its own, to one API process.",
        command=("benchmarks.webhooks", "--deliveries", "1000", "--rounds", "3"),
        seconds=60,
    ),
    Part(
        name="streams",
        about="The followers of many jobs by server-sent events, told by one API process.",
        command=("benchmarks.streams",),
        seconds=80,
    ),
    Part(
        name="sweep",
        about=(
            "Each model through gRPC, over requests in flight and rows a request. Whisper gets windows of 9 s, vad gets"
            " 45 s, the others sentences."
        ),
        command=("benchmarks.sweep",),
        seconds=480,
        quick=("benchmarks.sweep", "--concurrency", "1,4,16", "--batch", "1", "--seconds", "1"),
        quick_seconds=100,
    ),
    Part(
        name="hearing",
        about="Whisper through the plane, our class in process, faster-whisper, whisperx: the same clips and weights.",
        command=("benchmarks.hearing", "--rounds", "4"),
        seconds=300,
        quick=("benchmarks.hearing", "--rounds", "3", "--clips", "8"),
        quick_seconds=80,
    ),
    Part(
        name="speech",
        about="Coqui through the plane, our class in process, and TTS.api in a loop: the same sentences and voice.",
        command=("benchmarks.speech", "--rounds", "5"),
        seconds=150,
        quick=("benchmarks.speech", "--rounds", "3", "--sentences", "8"),
        quick_seconds=60,
    ),
    Part(
        name="translation",
        about="Opus-MT through the plane, our class in process, and transformers: random weights of the real size.",
        command=("benchmarks.translation", "--rounds", "4", "--sentences", "32"),
        seconds=300,
    ),
    Part(
        name="callers",
        about="Sixteen callers share Whisper's batches, against the same windows one after another.",
        command=("benchmarks.callers", "--rounds", "3"),
        seconds=150,
    ),
    Part(
        name="overload",
        about="Five times as many requests as a fixture model that sleeps 0.2 s can serve.",
        command=("benchmarks.overload",),
        seconds=60,
    ),
    Part(
        name="pages",
        about="What the web frontend's pages wait for, by their own calls.",
        command=("benchmarks.pages", "--runs", "3"),
        seconds=150,
    ),
    Part(
        name="stages",
        about="Wall seconds of jobs by stage; where several steps ran at once, divided among them.",
        command=("benchmarks.stages", "--minutes", "1", "--runs", "3"),
        seconds=150,
    ),
)
