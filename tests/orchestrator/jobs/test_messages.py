"""What a job is doing, in words."""

import pytest

from orchestrator.jobs import messages
from orchestrator.jobs.models import STAGES, STATUSES
from orchestrator.languages import NAMES, name_of


@pytest.mark.parametrize(
    ("stage", "count", "language", "says"),
    [
        ("extracting", [0, 1], None, "Reading the file"),
        ("transcribing", [0, 0], None, "Looking for speech"),
        ("transcribing", None, None, "Looking for speech"),
        ("transcribing", [3, 12], None, "Transcribing: 3 of 12 windows"),
        ("translating", [5, 20], "pt-BR", "Translating into Portuguese (BR): 5 of 20 sentences"),
        ("translating", [5, 20], None, "Translating: 5 of 20 sentences"),
        ("synthesizing", [8, 20], "es", "Speaking Spanish: 8 of 20 sentences"),
        ("synthesizing", [0, 0], "es", "Speaking Spanish"),
        ("synthesizing", [8, 20], "tlh", "Speaking tlh: 8 of 20 sentences"),
        ("merging", [40, 100], "es", "Putting the result together: 40 %"),
    ],
)
def test_a_step_is_told_with_its_count_and_language(
    stage: str, count: list[int] | None, language: str | None, says: str
) -> None:
    assert messages.step(stage, count, language) == says


def test_every_stage_and_status_has_its_words_and_none_is_cut_by_a_page() -> None:
    assert set(messages.STAGE_WORDS) == set(STAGES)
    assert set(messages.STATUS_WORDS) == set(STATUSES)
    said = [*messages.STAGE_WORDS.values(), *messages.STATUS_WORDS.values(), *messages.LANGUAGE_WORDS.values()]
    assert not [each for each in said if " - " in each]


@pytest.mark.parametrize(
    ("type_", "data", "says"),
    [
        ("progress", {"status": "pending", "progress": 0}, "Waiting for a free place"),
        ("progress", {"status": "processing", "progress": 0}, "Started"),
        (
            "progress",
            {"status": "processing", "stage": "transcribing", "counts": {"transcribing": [3, 12]}},
            "Transcribing: 3 of 12 windows",
        ),
        ("progress", {"status": "processing", "stage": "merging", "message": "As it was said"}, "As it was said"),
        ("warning", {"code": "toy_translation", "message": "A toy."}, "A toy."),
        ("completed", {"status": "completed", "progress": 100}, "Completed"),
        (
            "failed",
            {"status": "failed", "error": {"code": "x", "message": "There is no voice."}},
            "Failed: There is no voice.",
        ),
        ("cancelled", {"status": "cancelled"}, "Cancelled"),
    ],
)
def test_every_event_has_a_sentence_those_of_old_too(type_: str, data: dict[str, object], says: str) -> None:
    assert messages.of_event(type_, data) == says


def test_names_of_languages_are_english_and_unknown_codes_stay() -> None:
    assert (name_of("es"), name_of("zh-Hant"), name_of("tlh")) == ("Spanish", "Chinese (Hant)", "tlh")
    assert all(name[0].isupper() for name in NAMES.values())
    assert list(NAMES) == sorted(NAMES)
