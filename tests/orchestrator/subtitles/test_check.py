from dataclasses import replace

import pytest

from orchestrator.subtitles.check import Violation, check, count
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.rules import PLAIN, PROFILES, ProfileName, rules_for


def rules_broken(*cues: Cue) -> list[str]:
    return [violation.rule for violation in check(cues, PLAIN)]


def test_good_cues_have_no_violation() -> None:
    assert rules_broken(Cue(0, 2, ("One line.",)), Cue(2.1, 4, ("And", "another."))) == []


def test_each_rule_is_found() -> None:
    assert rules_broken(Cue(0, 3, ("x" * 43,))) == ["line_length"]
    assert rules_broken(Cue(0, 3, ("a", "b", "c"))) == ["lines"]
    assert rules_broken(Cue(0, 3, ())) == ["empty"]
    assert rules_broken(Cue(0, 3, (" ",))) == ["empty"]
    assert rules_broken(Cue(0, 0.5, ("a",))) == ["too_short"]
    assert rules_broken(Cue(0, 8, ("a",))) == ["too_long"]
    assert rules_broken(Cue(0, 1, ("x" * 21,))) == ["reading_speed"]
    assert rules_broken(Cue(2, 1, ("a",))) == ["backwards"]
    assert rules_broken(Cue(0, 2, ("a",)), Cue(2.05, 4, ("b",))) == ["gap"]
    assert rules_broken(Cue(0, 2, ("a",)), Cue(1.5, 4, ("b",))) == ["overlap"]


def test_a_violation_names_the_cue_and_the_figures() -> None:
    assert check([Cue(0, 2, ("a",)), Cue(3, 11, ("b",))], PLAIN) == [Violation(1, "too_long", 8, 7.0)]


def test_times_rounded_to_milliseconds_pass() -> None:
    assert rules_broken(Cue(0, 0.833, ("a",)), Cue(0.916, 2, ("b",))) == []


def test_violations_are_counted_by_rule() -> None:
    cues = [Cue(0, 8, ("a",)), Cue(9, 17, ("x" * 50,))]
    assert count(check(cues, PLAIN)) == {"too_long": 2, "line_length": 1}
    assert count([]) == {}


def test_languages_have_their_own_rules() -> None:
    assert rules_for("ja").line_length == 16
    assert rules_for("zh-Hant").line_length == 16
    assert rules_for("es-419") == replace(PLAIN, language="es-419")
    assert rules_for(None) == PLAIN
    assert rules_for("ko").lines == 2


@pytest.mark.parametrize(
    ("profile", "language", "figures"),
    [
        ("netflix", "en-GB", (42, 20.0)),
        ("netflix", "de", (42, 17.0)),
        ("netflix", "ja", (13, 4.0)),
        ("ted", "fr", (42, 21.0)),
        ("ted", "zh", (16, 9.0)),
        ("bbc", "en", (37, 20.0)),
    ],
)
def test_profiles_have_rules_of_their_own_by_language(
    profile: ProfileName, language: str, figures: tuple[float, float]
) -> None:
    found = rules_for(language, PROFILES[profile])
    assert (found.line_length, found.reading_speed) == figures


@pytest.mark.parametrize(
    ("profile", "language", "cue", "broken"),
    [
        ("netflix", "en", Cue(0, 4, ("She looked at the", "house.")), ["line_break"]),
        ("netflix", "en", Cue(0, 4, ("What are you looking at?", "The house.")), []),
        ("plain", "en", Cue(0, 4, ("She looked at the", "house.")), []),
        ("netflix", "ru", Cue(0, 4, ("Она смотрела на", "дом.")), ["line_break"]),
        ("netflix", "ar", Cue(0, 4, ("كانت تنظر إلى", "البيت.")), ["line_break"]),
        ("plain", "ja", Cue(0, 4, ("どこで生れた", "。何でも")), ["kinsoku"]),
        ("plain", "zh", Cue(0, 4, ("他说《", "红楼梦》")), ["kinsoku"]),
        ("bbc", "en", Cue(0, 1, ("One two three four.",)), ["reading_words"]),
        ("bbc", "en", Cue(0, 1, ("Three words here.",)), []),
        ("bbc", "en", Cue(0, 2, ("😀" * 19,)), ["line_length"]),
        ("plain", "en", Cue(0, 2, ("👨‍👩‍👧‍👦" * 39,)), []),
        ("plain", "ja", Cue(0, 6, ("あ" * 16, "abcdefgh" * 4)), []),
        ("plain", "ja", Cue(0, 6, ("あ" * 16 + "a",)), ["line_length"]),
        ("plain", "th", Cue(0, 3, ("กำ" * 35,)), []),
        ("netflix", "en", Cue(1.2, 4, ("Early and late.",), said=1.0), ["late"]),
        ("netflix", "en", Cue(0.8, 4, ("Early and late.",), said=1.0), ["early"]),
        ("bbc", "en", Cue(0.0, 4, ("Early and late.",), said=1.0), []),
    ],
)
def test_profiles_and_languages_differ_in_what_breaks_them(
    profile: ProfileName, language: str, cue: Cue, broken: list[str]
) -> None:
    assert [each.rule for each in check([cue], rules_for(language, PROFILES[profile]))] == broken


def test_a_gap_that_could_have_been_closed_breaks_rules_that_ask_for_it() -> None:
    def broken(first_end: float, second_start: float, profile: ProfileName) -> list[str]:
        cues = [Cue(0, first_end, ("One.",)), Cue(second_start, second_start + 2, ("Two.",))]
        return [each.rule for each in check(cues, rules_for("en", PROFILES[profile]))]

    assert broken(2, 2.3, "netflix") == ["open_gap"]
    assert broken(2, 2.3, "plain") == []
    assert broken(2, 2.7, "netflix") == []
    assert broken(2, 2.7, "bbc") == ["open_gap"]
    assert broken(7, 7.3, "netflix") == []
