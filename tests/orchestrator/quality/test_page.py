"""The report's page: whole, harmless whatever it is given, and without anything to fetch."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from orchestrator.dubbing.timeline import Placement, Slot
from orchestrator.quality.page import page
from orchestrator.quality.report import Spoken, quality_report
from tests.orchestrator.quality.made import HOSTILE, bad, good, measured

VOID = {"meta", "br", "rect", "line", "path", "img"}
KNOWN = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "div", "span", "h1", "h2", "p", "small"),
    *("ul", "li", "table", "tr", "th", "td", "bdi", "footer", "svg", "path", "rect", "line", "text"),
}


class Reader(HTMLParser):
    """Keeps the elements that are open, and all that were."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(report: dict[str, Any], title: str = "Talk.mp4", texts: dict[int, str] | None = None) -> Reader:
    reader = Reader()
    reader.feed(page(report, title, texts or {}))
    reader.close()
    assert reader.open == []
    assert {tag for tag, _ in reader.seen} <= KNOWN
    return reader


def test_a_page_is_self_contained_and_forbids_what_it_does_not_need() -> None:
    for report in (good(), bad()):
        reader = read(report)
        assert not {name for _, attributes in reader.seen for name in attributes} & {"src", "href", "style", "onload"}
        policies = [each.get("content") for tag, each in reader.seen if "http-equiv" in each]
        assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
        assert not re.search(r"url\(|@import", page(report, "", {}))


def test_hostile_texts_stay_texts() -> None:
    shown = bad(HOSTILE, HOSTILE)
    shown["notices"] = shown["warnings"] = [{"code": HOSTILE, "message": HOSTILE}]
    reader = read(shown, HOSTILE, dict.fromkeys(range(3), HOSTILE))
    text = "".join(reader.said)
    assert '<script>alert("x")</script>' in text
    assert not set(text) & set("\x00\x1b\u202e\u202c")
    assert read(good(), "\ud800 broken").open == []


def test_long_right_to_left_and_pictured_texts_are_shown_in_their_own_direction() -> None:
    texts = {0: "x" * 2000, 1: "שלום עולם", 2: "👩‍👩‍👧 family"}
    source = page(bad(), "x" * 2000, texts)
    assert "x" * 300 not in source
    assert '<bdi dir="auto">שלום עולם</bdi>' in source
    assert "👩‍👩‍👧 family" in source


def test_the_toy_translation_stands_at_the_top() -> None:
    source = page(bad(), "a", {})
    assert source.index("The translation is a toy.") < source.index("things to look at")
    assert "Please note" not in page(good(), "a", {})


def test_what_was_not_measured_is_said_to_be_so() -> None:
    said = "".join(read(good()).said)
    assert said.count("not measured") == 3
    assert "no model for it is installed" in said
    assert "Nothing to complain of" in said


def test_silence_and_no_speech_have_a_page_without_plots() -> None:
    from tests.orchestrator.quality.test_report import SILENCE  # noqa: PLC0415

    reader = read(quality_report("es", [], SILENCE))
    assert "svg" not in [tag for tag, _ in reader.seen]
    assert "The result is silent" in "".join(reader.said)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 59.99, 3600.0, 36_000.0])
def test_a_time_line_draws_every_segment_inside_its_picture(seconds: float) -> None:
    count = 5000
    step = seconds / count
    spoken = [
        Spoken(
            at,
            1.3,
            step * 2,
            step,
            Placement(at * step, (at + 2) * step, 0, 0),
            Slot(at * step, (at + 0.5) * step, (at + 1) * step),
        )
        for at in range(count)
    ]
    source = page(quality_report("es", spoken, measured(output_seconds=seconds)), "a", {})
    drawn = re.search(r'<svg viewBox="0 0 (\d+) (\d+)".*?</svg>', source, re.DOTALL)
    assert drawn
    for x, y, width in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", drawn[0]):
        assert 0 <= float(x) <= float(x) + float(width) <= float(drawn[1]) + 1.3
        assert float(y) <= float(drawn[2])
    assert len(source) < 1_500_000
