from orchestrator.subtitles import ass, srt, vtt
from orchestrator.subtitles.cues import Cue
from orchestrator.subtitles.direction import PDF, RLE, RLM, directed, embedded, marked, runs_right_to_left

ARABIC = "قال: مرحبا."
MIXED = "iPhone 15 في البيت."


def test_a_line_runs_as_its_language_or_most_of_its_letters_do() -> None:
    assert runs_right_to_left(ARABIC)
    assert runs_right_to_left(MIXED, "ar")
    assert not runs_right_to_left("He said שלום to me.")
    assert runs_right_to_left("He said שלום to me.", "he")
    assert not runs_right_to_left("OK.", "ar")
    assert not runs_right_to_left(ARABIC, "en")
    assert not runs_right_to_left("123 …")


def test_ass_embeds_what_runs_from_the_right_and_nothing_else() -> None:
    written = ass.dumps([Cue(0, 1, (MIXED, "OK."))], "ar")
    assert f",,{RLE}{MIXED}{PDF}\\NOK.\n" in written
    assert embedded(f"{RLM}{ARABIC}") == f"{RLE}{ARABIC}{PDF}"
    assert RLE not in ass.dumps([Cue(0, 1, ("Hello.",))], "en")


def test_text_files_mark_only_what_begins_the_other_way() -> None:
    cues = [Cue(0, 1, (MIXED, ARABIC))]
    assert f"\n{RLM}{MIXED}\n{ARABIC}\n" in srt.dumps(cues, "ar")
    assert f"\n{RLM}{MIXED}\n{ARABIC}\n" in vtt.dumps(cues, "ar")
    assert marked("Hello.", "en") == "Hello."


def test_each_format_is_told_in_its_own_way() -> None:
    text = f"{MIXED}\nOK."
    assert directed(text, "ass", "ar") == directed(text, "ssa", "ar") == f"{RLE}{MIXED}{PDF}\nOK."
    assert directed(text, "srt", "ar") == directed(text, "vtt", "ar") == f"{RLM}{MIXED}\nOK."
    assert directed(text, "json", "ar") == text
