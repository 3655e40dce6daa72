"""The report as Markdown and as a page, from fixed results."""

import re
from html.parser import HTMLParser

import pytest

from benchmarks.measurements import Measurement, latencies
from benchmarks.report.document import document, number
from benchmarks.report.page import page
from benchmarks.report.plots import GREY, INK, plots
from benchmarks.report.results import Report
from tests.benchmarks.reports import measurement, part, report


def swept() -> list[Measurement]:
    found = []
    for flying in (1, 4):
        at = {"table": "whisper", "in flight": str(flying), "rows": "1"}
        name = f"whisper, {flying} in flight"
        found.append(measurement(f"{name}: audio s/s", unit="audio s/s", at={**at, "figure": "audio s/s"}))
        found += latencies(name, [0.1 * flying, 0.2, 0.3, 0.4], "models", at)
    return found


@pytest.fixture(scope="module")
def everything() -> Report:
    """Something of every section and plot."""
    steps = [
        measurement(f"{bar}: {step}", section="where the time goes", at={"bar": bar, "step": step}, unit="s")
        for bar in ("ours", "theirs")
        for step in ("hear", "speak")
    ]
    return report(
        part(
            "load",
            *latencies("GET /v1/jobs", [0.01] * 9 + [0.05], "requests"),
            measurement("a | b", section="requests"),
        ),
        part("sweep", *swept()),
        part("dub", measurement("video dubbed", section="end to end"), *steps),
        part("hearing", measurement("ours against theirs", unit="times faster", section="peers")),
        part("broken", failure="ended with status 3\n<b>Traceback</b>\nValueError: no"),
    )


def test_every_measurement_is_in_the_tables_once(everything: Report) -> None:
    text = document(everything, [], None)
    for _, each in everything.measured():
        if "figure" not in each.at:
            assert text.count(f"| {each.name.replace('|', chr(92) + '|')} |") == 1, each.name


def test_a_sweep_has_a_line_for_each_point_and_a_column_for_each_figure(everything: Report) -> None:
    lines = document(everything, [], None).splitlines()
    head = next(line for line in lines if line.startswith("| whisper: in flight"))
    assert head == "| whisper: in flight | rows | audio s/s | p50, ms | p95, ms | p99, ms | of |"
    at = lines.index(head)
    assert lines[at + 2].startswith("| 1 | 1 | 11 (10 to 12) | 250 ")
    assert lines[at + 3].startswith("| 4 | 1 | 11 (10 to 12) | 350 ")


def test_a_failed_part_is_told_at_the_top_with_its_last_lines_below(everything: Report) -> None:
    text = document(everything, [], None)
    assert text.index("**Failed: broken.**") < text.index("## Requests to the API")
    assert "    ValueError: no" in text


def test_device_versions_revision_and_commands_are_there(everything: Report) -> None:
    text = document(everything, [], None)
    for needed in ("Abacus 9", "| Python | 3.11 |", "| revision | abc |", "`python -m benchmarks.hearing`"):
        assert needed in text


def test_a_machine_at_work_is_told() -> None:
    assert "was not idle" in document(report(load=1.5), [], None)
    assert "was not idle" not in document(report(), [], None)


class Links(HTMLParser):
    """Every attribute that could make a browser load something, and every id."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if name in {"src", "href", "xlink:href", "data", "srcset"}:
                self.loaded.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_the_page_loads_nothing_and_no_two_elements_share_an_id(everything: Report) -> None:
    pictures = plots(everything)
    html = page(document(everything, pictures, None), pictures)
    seen = Links()
    seen.feed(html)
    assert all(link.startswith("#") for link in seen.loaded), seen.loaded
    assert {"svg", "table", "h2"} <= seen.tags
    assert not {"script", "link", "img", "iframe", "b"} & seen.tags
    assert len(set(seen.ids)) == len(seen.ids)
    assert {link.removeprefix("#") for link in seen.loaded} <= set(seen.ids)
    assert not re.search(r"@import|url\((?!#)", html)


def test_plots_take_the_colour_of_their_page_and_a_grey_in_files(everything: Report) -> None:
    pictures = plots(everything)
    assert {each.name for each in pictures} == {"latencies", "sweep-whisper", "peers", "time-steps"}
    for each in pictures:
        assert INK not in each.inline() + each.file()
        assert "currentColor" in each.inline()
        assert GREY in each.file()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.01234, "0.0123"), (1.5, "1.5"), (99.94, "99.9"), (123.4, "123"), (12345.6, "12,346"), (0, "0")],
)
def test_numbers_have_three_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown
