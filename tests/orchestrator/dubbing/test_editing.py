"""Operations on a transcript: what they change, what they refuse, and that ids and order hold whatever is done."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from orchestrator.dubbing.editing import Bounds, InvalidEditError, edited, least_seconds, tight
from orchestrator.dubbing.operations import AnyOperation
from orchestrator.dubbing.timeline import Word
from orchestrator.dubbing.transcript import Entry, Line, Transcript, compare

PARSE: TypeAdapter[AnyOperation] = TypeAdapter(AnyOperation)
DURATION = 20.0


def entry(id_: int, start: float, end: float, text: str, spanish: str | None = None, **more: Any) -> Entry:
    words = text.split()
    each = (end - start) / len(words)
    timed = tuple(Word(f" {word}", start + at * each, start + (at + 1) * each) for at, word in enumerate(words))
    return Entry(id_, start, end, "en", text, words=timed, lines={"es": Line(spanish or f"es {text}", "lola")}, **more)


def three() -> Transcript:
    return (
        entry(0, 1.0, 3.0, "One two three four", speaker="A"),
        entry(1, 4.0, 6.0, "Five six"),
        entry(2, 8.0, 10.0, "Seven eight nine"),
    )


def done(*operations: dict[str, Any], transcript: Transcript | None = None, next_id: int = 3) -> Transcript:
    usual = {None: "lola", "A": "lola", "B": "joe"}
    bounds = Bounds(DURATION, ["es"], next_id, lambda who, _: usual.get(who), lambda _, name: name in ("lola", "joe"))
    return edited(transcript or three(), [PARSE.validate_python(each) for each in operations], bounds)


def test_a_new_text_keeps_the_times_of_the_words_that_stay_and_is_translated_anew() -> None:
    changed = done({"op": "text", "segment": 0, "text": "One 2½ three, four"})[0]
    assert changed.text == "One 2½ three, four"
    assert "".join(word.text for word in changed.words).strip() == changed.text
    assert next((word.start, word.end) for word in changed.words) == (1.0, 1.5)
    assert [(word.start, word.end) for word in changed.words][3] == (2.5, 3.0)
    assert changed.lines["es"] == Line(None, "lola")


def test_a_corrected_letter_need_not_be_translated_anew() -> None:
    changed = done({"op": "text", "segment": 1, "text": "Five sixes", "retranslate": False})[1]
    assert changed.lines["es"] == Line("es Five six", "lola")


def test_a_moved_segment_takes_its_words_along() -> None:
    changed = done({"op": "times", "segment": 1, "start": 5.0, "end": 7.0})[1]
    assert [(word.start, word.end) for word in changed.words] == [(5.0, 6.0), (6.0, 7.0)]


def test_neighbours_may_change_places_one_after_the_other() -> None:
    ordered = done(
        {"op": "times", "segment": 0, "start": 4.0, "end": 6.0}, {"op": "times", "segment": 1, "start": 1.0, "end": 3.0}
    )
    assert [each.id for each in ordered] == [1, 0, 2]


def test_a_merge_keeps_the_first_id_and_all_words() -> None:
    merged = done({"op": "merge", "segments": [0, 1]})
    assert [each.id for each in merged] == [0, 2]
    assert (merged[0].start, merged[0].end, merged[0].speaker) == (1.0, 6.0, "A")
    assert merged[0].text == "One two three four Five six"
    assert len(merged[0].words) == 6
    assert merged[0].lines["es"].text == "es One two three four es Five six"


def test_a_split_gives_the_second_part_an_id_nobody_had() -> None:
    parted = done({"op": "split", "segment": 0, "word": 2}, {"op": "delete", "segment": 2}, next_id=7)
    assert [(each.id, each.text, each.start, each.end) for each in parted[:2]] == [
        (0, "One two", 1.0, 2.0),
        (7, "three four", 2.0, 3.0),
    ]
    assert [each.lines["es"].text for each in parted[:2]] == [None, None]
    assert [each.id for each in parted] == [0, 7, 1]


def test_a_split_takes_the_translations_it_is_given() -> None:
    parted = done(
        {"op": "split", "segment": 0, "at": 2.2, "texts": ["One", "two"], "translations": {"es": ["uno", "dos"]}}
    )
    assert [(each.text, each.lines["es"].text) for each in parted[:2]] == [("One", "uno"), ("two", "dos")]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"op": "text", "segment": 9, "text": "x"}, "no segment 9"),
        ({"op": "translation", "segment": 0, "language": "de", "text": "x"}, "no target language 'de'"),
        ({"op": "voice", "segment": 0, "language": "es", "voice": "nobody"}, "no voice 'nobody'"),
        ({"op": "times", "segment": 0, "end": 1.05}, "0.1 s at the least"),
        ({"op": "times", "segment": 0, "start": 3.5}, "0.1 s at the least"),
        ({"op": "times", "segment": 0}, "give a start"),
        ({"op": "times", "segment": 0, "end": 4.5}, "while segment 0 lasts until 4.5 s"),
        ({"op": "times", "segment": 2, "end": 20.5}, "the media lasts 20 s"),
        ({"op": "merge", "segments": [0, 2]}, "only neighbours"),
        ({"op": "merge", "segments": [1, 0]}, "only neighbours"),
        ({"op": "merge", "segments": [0, 0]}, "only neighbours"),
        ({"op": "split", "segment": 0}, "where to split"),
        ({"op": "split", "segment": 0, "word": 1, "at": 2}, "where to split"),
        ({"op": "split", "segment": 0, "word": 4}, "has 4 words"),
        ({"op": "split", "segment": 0, "at": 3.0}, "not inside"),
        ({"op": "split", "segment": 0, "at": 2.95}, "0.1 s at the least"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_reason(operation: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidEditError, match="Nothing was changed") as refused:
        done({"op": "speaker", "segment": 1, "speaker": "B"}, operation)
    assert said in refused.value.message


@pytest.mark.parametrize(
    "text", ["", "  \n ", "\u200b\u2060", "a\x00b", "a\x1bb", "a\ud800", "x" * 2001, "a\u2028b"], ids=repr
)
def test_a_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        PARSE.validate_python({"op": "text", "segment": 0, "text": text})


@pytest.mark.parametrize(
    "text", ["🙂", "مرحبا بالعالم", "שלום (עולם)", "e\u0301", "日本語です。", "a\nb", "👩\u200d👩\u200d👧"]
)
def test_emoji_and_scripts_of_any_direction_are_texts(text: str) -> None:
    changed = done({"op": "translation", "segment": 0, "language": "es", "text": text})[0]
    assert changed.lines["es"].text in (text, "é")


@pytest.mark.parametrize("time", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_time_that_is_none_is_refused(time: float) -> None:
    with pytest.raises(ValidationError):
        PARSE.validate_python({"op": "times", "segment": 0, "start": time})


def test_two_thousand_characters_in_a_second_are_told_of_and_taken() -> None:
    short = (entry(0, 1.0, 2.0, "One two"), entry(1, 2.0, 3.0, "Three"))
    after = done({"op": "translation", "segment": 0, "language": "es", "text": "hola " * 400}, transcript=short)
    [found] = tight(after, ["es"], DURATION, {0, 1})
    assert (found.segment, found.room) == (0, 1.0)
    assert found.seconds == least_seconds("hola " * 400) > 50


def test_cues_that_overlapped_before_may_be_edited_but_not_made_to_overlap() -> None:
    cues = (entry(0, 1.0, 5.0, "One two"), entry(1, 4.0, 6.0, "Three"), entry(2, 7.0, 8.0, "Four"))
    assert done({"op": "text", "segment": 0, "text": "Other"}, transcript=cues)[0].text == "Other"
    with pytest.raises(InvalidEditError):
        done({"op": "times", "segment": 2, "start": 5.5}, transcript=cues)


def own_voice(segment: Entry, language: str) -> str | None:
    return segment.lines[language].voice if language in segment.lines else None


def same_sound(_entry: Entry, _language: str) -> str:
    return "lola"


def test_only_what_is_other_is_stale() -> None:
    before = three()
    after = done({"op": "translation", "segment": 1, "language": "es", "text": "otra"}, {"op": "delete", "segment": 2})
    changes = compare(before, after, ["es", "de"], own_voice)
    assert changes.spoken == {"es": {1, 2}, "de": {2}}
    assert (changes.seconds, changes.total) == ({"es": 4.0, "de": 2.0}, 6.0)
    speaker = compare(before, done({"op": "speaker", "segment": 1, "speaker": "A"}), ["es"], same_sound)
    assert (speaker.any, speaker.source, speaker.spoken) == (True, True, {"es": frozenset()})
    other = compare(before, done({"op": "speaker", "segment": 1, "speaker": "B"}), ["es"], own_voice)
    assert other.spoken == {"es": {1}}
    assert not compare(before, done({"op": "speaker", "segment": 0, "speaker": "A"}), ["es"], own_voice).any
    assert compare(before, done({"op": "retranslate", "segment": 0}), ["es"], own_voice).spoken == {"es": {0}}


def test_time_that_two_segments_share_counts_once() -> None:
    before = three()
    merged = compare(before, done({"op": "merge", "segments": [0, 1]}), ["es"], own_voice)
    assert (merged.seconds, merged.total) == ({"es": 5.0}, 7.0)
    split = compare(before, done({"op": "split", "segment": 0, "at": 2.0}), ["es"], own_voice)
    assert (split.seconds, split.total) == ({"es": 2.0}, 6.0)


def test_a_line_in_its_speakers_voice_goes_with_another_speaker_and_a_chosen_one_does_not() -> None:
    chosen = {"op": "voice", "segment": 1, "language": "es", "voice": "joe"}
    assert done({"op": "speaker", "segment": 0, "speaker": "B"})[0].lines["es"].voice is None
    assert done(chosen, {"op": "speaker", "segment": 1, "speaker": "A"})[1].lines["es"].voice == "joe"


def test_a_transcript_keeps_a_segment() -> None:
    assert len(done(*({"op": "delete", "segment": each} for each in (0, 2)))) == 1
    with pytest.raises(InvalidEditError, match="leave no segment"):
        done(*({"op": "delete", "segment": each} for each in (0, 1, 2)))


def test_a_segment_in_the_target_language_already_has_no_translation() -> None:
    spanish = (Entry(0, 1.0, 2.0, "es-MX", "Hola", lines={"es": Line("Hola")}),)
    with pytest.raises(InvalidEditError, match="in 'es-MX' already: change its text"):
        done({"op": "translation", "segment": 0, "language": "es", "text": "Buenas"}, transcript=spanish)


TIMES = st.floats(0, DURATION + 2)
IDS = st.integers(0, 6)
OPERATIONS = st.one_of(
    st.builds(lambda s, t: {"op": "text", "segment": s, "text": t}, IDS, st.sampled_from(["a b", "three", "日本"])),
    st.builds(lambda s, a, b: {"op": "times", "segment": s, "start": a, "end": b}, IDS, TIMES, TIMES),
    st.builds(lambda s, n: {"op": "merge", "segments": list(range(s, s + n))}, IDS, st.integers(2, 3)),
    st.builds(lambda s, t: {"op": "split", "segment": s, "at": t}, IDS, TIMES),
    st.builds(lambda s, w: {"op": "split", "segment": s, "word": w}, IDS, st.integers(1, 3)),
    st.builds(lambda s: {"op": "delete", "segment": s}, IDS),
)


@given(st.lists(OPERATIONS, max_size=8))
def test_whatever_is_done_segments_are_in_order_inside_the_media_with_ids_of_their_own(
    operations: list[dict[str, Any]],
) -> None:
    transcript = three()
    for operation in operations:
        before, next_id = transcript, 3 + len(operations) + max(each.id for each in transcript) if transcript else 3
        try:
            transcript = done(operation, transcript=before, next_id=next_id) if before else before
        except InvalidEditError:
            assert transcript == before
    ids = [each.id for each in transcript]
    assert len(set(ids)) == len(ids)
    assert all(0 <= each.start < each.end <= DURATION + 0.001 for each in transcript)
    for one, following in itertools.pairwise(transcript):
        assert one.end <= following.start + 0.001
    for each in transcript:
        assert all(each.start - 1e-6 <= word.start <= word.end <= each.end + 1e-6 for word in each.words)
        if each.words:
            written = "".join(word.text for word in each.words)
            assert written.replace(" ", "") == each.text.replace(" ", "")
