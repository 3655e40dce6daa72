"""The frontend's words: percentages it guesses the stage from, languages, statuses."""

import pytest

from orchestrator.jobs.advance import WEIGHTS, percent
from orchestrator.octavia_web.languages import OFFERED, UnknownNameError, language, name_of
from orchestrator.octavia_web.preferences import LANGUAGES, TIME_ZONES, meant, shown, switched, switches
from orchestrator.octavia_web.vocabulary import (
    DOWNLOADS,
    MAIN_ARTIFACTS,
    SHOWN_UP_TO,
    TYPES,
    shown_progress,
    shown_status,
)


@pytest.mark.parametrize("kind", sorted(WEIGHTS))
def test_the_shown_percentage_grows_with_ours_and_keeps_its_ends(kind: str) -> None:
    values = [shown_progress(kind, progress) for progress in range(101)]
    assert (values[0], values[-1]) == (0, 100)
    assert values == sorted(values)
    assert all(type(value) is int for value in values)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ({"extracting": [1, 1]}, 0, 20),
        ({"extracting": [1, 1], "transcribing": [5, 10]}, 20, 40),
        ({"extracting": [1, 1], "transcribing": [10, 10], "translating": [1, 2]}, 40, 60),
        ({"extracting": [1, 1], "transcribing": [1, 1], "translating": [2, 2], "synthesizing": [1, 2]}, 60, 85),
    ],
)
def test_the_stage_a_page_guesses_is_the_one_at_work(counts: dict[str, list[int]], low: int, high: int) -> None:
    shown = shown_progress("video_translation", percent("video_translation", counts))
    assert low <= shown <= high


def test_every_kind_has_a_row_in_every_table() -> None:
    assert set(TYPES) == set(DOWNLOADS) == set(MAIN_ARTIFACTS)
    assert set(SHOWN_UP_TO) <= set(TYPES)
    for kind, scale in SHOWN_UP_TO.items():
        assert set(WEIGHTS[kind]) == set(scale), kind
        assert list(scale.values()) == sorted(scale.values())


def test_subtitle_pages_never_see_a_waiting_job() -> None:
    assert shown_status("subtitles", "pending") == "processing"
    assert shown_status("video_translation", "pending") == "pending"
    assert shown_status("subtitles", "failed") == "failed"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("auto", None),
        ("", None),
        (None, None),
        ("es", "es"),
        (" Spanish ", "es"),
        ("SPANISH", "es"),
        ("zh-cn", "zh"),
        ("zh_CN", "zh"),
        ("pt-br", "pt-BR"),
        ("swe", "sv"),
    ],
)
def test_languages_by_code_alias_and_name(given: str | None, code: str | None) -> None:
    assert language(given) == code


def test_an_unknown_name_is_refused_with_an_example() -> None:
    with pytest.raises(UnknownNameError, match="'en' or 'Spanish'"):
        language("klingon tongue")


def test_the_selects_offer_22_languages_each_with_a_name() -> None:
    assert len(OFFERED) == 22
    assert name_of("pt-BR") == "Portuguese"
    assert name_of("tlh") == "tlh"


def test_settings_go_there_and_back() -> None:
    for table in (LANGUAGES, TIME_ZONES):
        for word, value in table.items():
            assert meant(table, word) == value
            assert shown(table, value) == word
    assert shown(TIME_ZONES, "Asia/Tokyo") == "Asia/Tokyo"
    on = {"translationComplete": True, "emailNotifications": False, "weeklySummary": True}
    assert switches(switched(on)) == on
    assert switched({"unknown": True}) == {}
