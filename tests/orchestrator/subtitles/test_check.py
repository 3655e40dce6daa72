from orchestrator.subtitles.check import Violation, check, count
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.rules import PLAIN, rules_for


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
    assert rules_for("es-419") is PLAIN
    assert rules_for(None) is PLAIN
    assert rules_for("ko").lines == 2
