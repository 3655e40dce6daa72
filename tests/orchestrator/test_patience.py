"""The table of what is tried again."""

import itertools

import pytest

from orchestrator.patience import AT_ONCE, RULES, TROUBLES, Rule, Trouble, pauses


def test_pauses_double_up_to_the_longest_and_are_shortened_at_random_by_a_half_at_most() -> None:
    for _ in range(50):
        found = list(itertools.islice(pauses(1.0, 5.0), 6))
        assert all(whole / 2 <= pause <= whole for pause, whole in zip(found, (1, 2, 4, 5, 5, 5), strict=True))
    firsts = {next(pauses(1.0, 5.0)) for _ in range(20)}
    assert len(firsts) > 10, "those who fail together must not come back together"


def test_a_rule_has_a_pause_after_every_attempt_but_the_last() -> None:
    rule = Rule(attempts=4, first_s=1.0, longest_s=3.0)
    found = [rule.pause_after(attempts) for attempts in (1, 2, 3, 4, 5)]
    assert [pause is None for pause in found] == [False, False, False, True, True]
    assert [whole / 2 <= pause <= whole for pause, whole in zip(found[:3], (1, 2, 3), strict=True) if pause] == [
        True
    ] * 3
    assert AT_ONCE.pause_after(1) is None


@pytest.mark.parametrize("code", ["storage_failed", "storage_full", "out_of_memory", "database_away"])
def test_what_may_pass_is_tried_again(code: str) -> None:
    assert RULES[code].pause_after(1) is not None


@pytest.mark.parametrize(
    "code",
    ["media_invalid", "codec_unsupported", "no_audio", "no_translation", "no_voice", "model_refused", "stage_timeout"],
)
def test_what_will_not_pass_is_not_in_the_table(code: str) -> None:
    assert code not in RULES


def test_a_refusal_of_a_model_is_told_from_a_plane_that_is_away() -> None:
    assert TROUBLES["INVALID_ARGUMENT"] is Trouble.REFUSED
    assert "UNAVAILABLE" not in TROUBLES
