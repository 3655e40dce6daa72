"""The pure rules of hearing: windows, guards and word times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.models.whisper_text import (
    BUCKETS_S,
    Decoded,
    Word,
    bucket_s,
    compression_ratio,
    first_repetition,
    is_loop,
    is_speech,
    runs_away,
    shorten_stretched,
    tidy,
    token_cap,
)


def decoded(text: str = "Hello there.", **changes: object) -> Decoded:
    values: dict[str, object] = {
        "tokens": (1, 2),
        "text": text,
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
        "compression_ratio": compression_ratio(text),
        "capped": False,
    }
    return Decoded(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 8), (4, 8), (4.01, 8), (9.9, 14), (12, 14), (12.1, 22), (20.1, 30), (30, 30)]
)
def test_a_window_leaves_two_seconds_of_silence_after_the_speech(seconds: float, bucket: int) -> None:
    assert bucket_s(seconds) == bucket


@given(st.floats(0, 28))
def test_every_window_up_to_28_s_has_its_margin(seconds: float) -> None:
    assert bucket_s(seconds) in BUCKETS_S
    assert bucket_s(seconds) >= seconds + 2


def test_the_token_cap_grows_with_the_speech() -> None:
    assert token_cap(0) == 20
    assert token_cap(10) == 140


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("I will go to the market and buy bread.", None),
        ("He went home. He went to bed.", None),
        ("We all went to the sea. We all went to the sea.", 6),
        ("Thank you, thank you, thank you, thank you, thank you, thank you.", 2),
        ("no no no no", None),
        ("", None),
    ],
)
def test_five_words_said_before_are_a_repetition(text: str, index: int | None) -> None:
    assert first_repetition(text) == index


def test_a_sentence_said_exactly_twice_is_heard_again_though_it_compresses_little() -> None:
    twice = decoded("We all went to the sea. We all went to the sea.")
    assert twice.compression_ratio < 2.4
    assert is_loop(twice)
    assert not runs_away(twice)


def test_what_fills_its_cap_or_compresses_too_well_runs_away() -> None:
    assert runs_away(decoded(capped=True))
    assert runs_away(decoded("I'm not a good man. " * 24))
    assert not is_loop(decoded("And Mr. John Dashwood had then leisure to consider how much there might be."))


@pytest.mark.parametrize(
    ("heard", "speech"),
    [
        (decoded(), True),
        (decoded("you", no_speech_prob=0.94, avg_logprob=-0.44), False),
        (decoded("I'm not sure if I can do it.", no_speech_prob=0.49, avg_logprob=-1.75), False),
        (decoded("noisy but real", no_speech_prob=0.562, avg_logprob=-0.47), True),
        (decoded(""), False),
    ],
)
def test_speech_is_told_from_what_whisper_makes_up_in_silence_and_noise(heard: Decoded, speech: bool) -> None:
    assert is_speech(heard) is speech


def test_the_first_word_does_not_swallow_the_silence_before_it() -> None:
    words = [
        Word(" Hello", 0.0, 3.0, 1),
        Word(" my", 3.0, 3.2, 1),
        Word(" dear", 3.2, 3.5, 1),
        Word(" you", 3.5, 3.8, 1),
    ]
    shorten_stretched(words)
    assert words[0].start == pytest.approx(2.4)
    assert [word.end for word in words] == [3.0, 3.2, 3.5, 3.8]


def test_a_sentences_end_does_not_swallow_the_pause_after_it() -> None:
    words = [Word(" Yes", 0.0, 0.3, 1), Word(".", 0.3, 2.3, 1), Word(" No", 2.3, 2.6, 1), Word(".", 2.6, 2.7, 1)]
    shorten_stretched(words)
    assert words[1].end == pytest.approx(0.9)


@given(
    st.lists(
        st.tuples(st.sampled_from([" a", " b", "", " "]), st.floats(-1, 40), st.floats(-1, 40), st.floats(0, 1)),
        max_size=12,
    ),
    st.floats(0.1, 30),
)
def test_word_times_are_monotone_and_inside_the_window_whatever_the_alignment_says(
    raw: list[tuple[str, float, float, float]], seconds: float
) -> None:
    words = tidy([Word(*each) for each in raw], seconds)
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= time <= seconds + 0.001 for time in times)
    assert all(word.word.strip() for word in words)
