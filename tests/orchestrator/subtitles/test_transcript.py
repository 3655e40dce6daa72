from orchestrator.subtitles import plain, srt, transcript
from orchestrator.subtitles.transcript import LONGEST_PARAGRAPH, Said


def test_passages_and_speakers_are_paragraphs_and_a_new_speaker_is_named() -> None:
    sentences = [
        Said("Good morning.", 0, "Ann"),
        Said("Did you sleep?", 0, "Ann"),
        Said("Not at all.", 0, "Bob"),
        Said("It rained.", 1, "Bob"),
        Said("  ", 1, "Bob"),
    ]
    assert transcript.dumps(sentences, "en") == (
        "Ann: Good morning. Did you sleep?\n\nBob: Not at all.\n\nIt rained.\n"
    )


def test_without_speakers_nobody_is_named() -> None:
    assert transcript.dumps([Said("One."), Said("Two\nlines.")], "en") == "One. Two lines.\n"
    assert transcript.dumps([Said("一。"), Said("二。")], "zh") == "一。二。\n"
    assert transcript.dumps([], "en") == ""


def test_a_speech_without_a_pause_is_cut_at_a_sentence() -> None:
    written = transcript.dumps([Said(f"Sentence {number}.") for number in range(200)], "en")
    paragraphs = written.strip().split("\n\n")
    assert len(paragraphs) == 3
    assert all(len(paragraph) <= LONGEST_PARAGRAPH + 20 for paragraph in paragraphs)
    assert " ".join(paragraphs).split() == [word for number in range(200) for word in ("Sentence", f"{number}.")]


def test_what_is_written_is_read_back_as_a_cue_for_each_sentence() -> None:
    said = ["Good morning to all of you.", "Did you sleep at night?", "It was raining."]
    written = transcript.dumps([Said(text, at // 2) for at, text in enumerate(said)], "en")
    read = plain.as_subtitles(written)
    assert read is not None
    assert [cue.text for cue in srt.loads(read)] == said
