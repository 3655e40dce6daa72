"""Translation: equal to transformers on the same weights, n-best in order, and clear words for what cannot be done."""

import gc
import tomllib
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from serve.errors import Code, ModelError
from serve.models.base import Laned, Multiplexed, Tensors, WeightSet
from serve.models.marian import Marian, Search, batches_of
from serve.models.opus_mt import OpusMt
from serve.models.translation_guards import loops

CHECKOUT = Path(__file__).parents[2]
PHRASES = tomllib.loads((CHECKOUT / "scripts" / "starter_phrases.toml").read_text(encoding="utf-8"))
COLUMN = {"en": 0, "es": 1, "de": 2}


def sentences(language: str) -> list[str]:
    rows = [*PHRASES["story"], *PHRASES["heard"]]
    return [row[COLUMN[language]] for row in rows][:24]


def column(values: Sequence[str]) -> Any:
    array = np.empty((len(values), 1), np.object_)
    array[:, 0] = [value.encode() for value in values]
    return array


def asked(texts: Sequence[str], source: str, target: str, hypotheses: int | None = None) -> Tensors:
    request = {"TEXT": column(texts), "SOURCE": column([source] * len(texts)), "TARGET": column([target] * len(texts))}
    if hypotheses is not None:
        request["NUM_HYPOTHESES"] = np.full((len(texts), 1), hypotheses, np.int32)
    return request


def rows_of(texts: Sequence[str], source: str, target: str, hypotheses: int = 1) -> list[tuple[str, Any, str]]:
    """The same for the plane."""
    return [
        ("TEXT", [[text] for text in texts], "BYTES"),
        ("SOURCE", [[source]] * len(texts), "BYTES"),
        ("TARGET", [[target]] * len(texts), "BYTES"),
        ("NUM_HYPOTHESES", [[hypotheses]] * len(texts), "INT32"),
    ]


@pytest.fixture(scope="module")
def opus(starter_weights: Callable[[str], Any]) -> OpusMt:
    model = OpusMt({}, starter_weights("opus_mt"))
    model.load()
    return model


def by_transformers(pair: str, texts: list[str]) -> list[str]:
    folder = CHECKOUT / "model_repo" / "starter" / f"opus-mt-{pair}"
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine cost minutes
    tokenizer = MarianTokenizer.from_pretrained(folder)
    model = MarianMTModel.from_pretrained(folder).eval()  # type: ignore[no-untyped-call]
    tokens = model.generate(**tokenizer(texts, return_tensors="pt", padding=True), num_beams=4)
    return list(tokenizer.batch_decode(tokens, skip_special_tokens=True))


@pytest.mark.parametrize("pair", ["en-es", "es-en", "en-de"])
def test_the_plane_translates_as_transformers_does_sentence_for_sentence(pair: str, infer: Callable[..., Any]) -> None:
    source, target = pair.split("-")
    answer = infer("opus_mt", rows_of(sentences(source), source, target))
    assert [row[0].decode() for row in answer["TRANSLATIONS"]] == by_transformers(pair, sentences(source))


def test_the_samples_sentences_are_translated_well(infer: Callable[..., Any]) -> None:
    answer = infer("opus_mt", rows_of([row[0] for row in PHRASES["story"]], "en", "es"))
    assert [row[0].decode() for row in answer["TRANSLATIONS"]] == [row[1] for row in PHRASES["story"]]


def test_hypotheses_come_best_first_and_the_first_is_the_single_one(infer: Callable[..., Any]) -> None:
    texts = sentences("en")[:6]
    best = infer("opus_mt", rows_of(texts, "en", "es", 1))
    several = infer("opus_mt", rows_of(texts, "en", "es", 4))
    assert several["TRANSLATIONS"].shape == several["SCORES"].shape == (6, 4)
    assert (np.diff(several["SCORES"], axis=1) <= 0).all()
    assert (several["SCORES"] < 0).all()
    assert [row[0] for row in several["TRANSLATIONS"]] == [row[0] for row in best["TRANSLATIONS"]]
    assert all(len(set(row)) == 4 for row in several["TRANSLATIONS"])


def test_the_language_codes_region_does_not_matter(infer: Callable[..., Any]) -> None:
    plain, regional = (
        infer("opus_mt", rows_of(["Good morning."], *pair)) for pair in (("en", "es"), ("en-GB", "es-MX"))
    )
    assert plain["TRANSLATIONS"] == regional["TRANSLATIONS"]


def test_a_pair_without_a_model_goes_through_english(opus: OpusMt) -> None:
    spanish = sentences("es")[:4]
    (pivoted,) = opus.infer([asked(spanish, "es", "de", 2)], [set()])
    (english,) = opus.infer([asked(spanish, "es", "en")], [set()])
    assert isinstance(english, dict)
    assert isinstance(pivoted, dict)
    (onward,) = opus.infer([asked([row[0].decode() for row in english["TRANSLATIONS"]], "en", "de", 2)], [set()])
    assert isinstance(onward, dict)
    np.testing.assert_array_equal(pivoted["TRANSLATIONS"], onward["TRANSLATIONS"])
    assert pivoted["TRANSLATIONS"].shape == (4, 2)


def test_what_is_no_text_passes_through(opus: OpusMt) -> None:
    texts = ["", " ", "♪ ♪", "...", "A", "7", "¡!"]
    (answer,) = opus.infer([asked(texts, "en", "es", 2)], [set()])
    assert isinstance(answer, dict)
    assert [row[0].decode() for row in answer["TRANSLATIONS"]] == texts
    assert answer["SCORES"][:, 0].tolist() == [0.0] * len(texts)
    assert (answer["SCORES"][:, 1] == -np.inf).all()


def test_a_sentences_translation_does_not_depend_on_its_neighbours(opus: OpusMt) -> None:
    texts = sentences("en")
    alone = opus.infer([asked([text], "en", "es", 3) for text in texts], [set()] * len(texts))
    (together,) = opus.infer([asked(texts[::-1], "en", "es", 3)], [set()])
    assert isinstance(together, dict)
    for text, one in zip(texts, alone, strict=True):
        assert isinstance(one, dict)
        row = texts[::-1].index(text)
        np.testing.assert_array_equal(one["TRANSLATIONS"][0], together["TRANSLATIONS"][row])
        np.testing.assert_allclose(one["SCORES"][0], together["SCORES"][row], atol=1e-3)


def test_requests_of_different_pairs_share_a_batch_and_a_bad_one_harms_none(opus: OpusMt) -> None:
    good, refused, other = opus.infer(
        [asked(["Good morning."], "en", "es"), asked(["Bonjour."], "fr", "es"), asked(["Buenos días."], "es", "en")],
        [set()] * 3,
    )
    assert isinstance(good, dict)
    assert isinstance(other, dict)
    assert isinstance(refused, ModelError)
    assert refused.code == Code.NOT_FOUND
    assert refused.message == "no translation model leads from 'fr' to 'es'; loaded pairs: en→de, en→es, es→en"


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (asked(["a b"], "en", "es", 9), "NUM_HYPOTHESES: expected 1 to 8, got 9"),
        (asked(["a b"], "", "es"), "SOURCE row 0: expected a language code"),
        (asked(["a b"], "en", ""), "TARGET row 0: expected a language code"),
        (asked(["word " * 1000], "en", "es"), r"TEXT row 0: \d+ tokens .*; starter-opus-mt-en-es takes at most 256"),
        ({**asked(["a", "b"], "en", "es"), "NUM_HYPOTHESES": np.array([[1], [2]], np.int32)}, r"not \[1, 2\]"),
    ],
)
def test_what_cannot_be_translated_is_refused_with_the_reason(opus: OpusMt, request_: Tensors, complaint: str) -> None:
    (refused,) = opus.infer([request_], [set()])
    assert isinstance(refused, ModelError)
    with pytest.raises(ModelError, match=complaint):
        raise refused


def test_nothing_loaded_translates_nothing_and_says_so() -> None:
    model = OpusMt({}, [])
    model.load()
    (refused,) = model.infer([asked(["Hello."], "en", "es")], [set()])
    assert isinstance(refused, ModelError)
    assert refused.message.endswith("loaded pairs: none")


def answered(opus: OpusMt, *requests: Tensors) -> list[Tensors]:
    answers = opus.infer(requests, [set()] * len(requests))
    assert all(isinstance(answer, dict) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, dict)]


def first(answer: Tensors) -> list[str]:
    return [row[0].decode() for row in answer["TRANSLATIONS"]]


def test_a_text_already_in_the_target_language_is_passed_through(opus: OpusMt) -> None:
    (answer,) = answered(opus, asked(["Buenos días.", ""], "es", "es-MX", 2))
    assert first(answer) == ["Buenos días.", ""]
    assert answer["SCORES"].tolist() == [[0.0, -np.inf]] * 2


def test_a_pivots_scores_count_both_legs(opus: OpusMt) -> None:
    texts = sentences("es")[:3]
    (there,) = answered(opus, asked(texts, "es", "en"))
    (onward,) = answered(opus, asked(first(there), "en", "de", 3))
    (pivoted,) = answered(opus, asked(texts, "es", "de", 3))
    np.testing.assert_allclose(pivoted["SCORES"], there["SCORES"] + onward["SCORES"], atol=1e-3)


def test_newlines_stay_and_lines_are_translated_one_by_one(opus: OpusMt) -> None:
    morning, night = first(answered(opus, asked(["Good morning.", "Good night."], "en", "es"))[0])
    (answer,) = answered(opus, asked(["Good morning.\n\n 7 \r\nGood night.\n"], "en", "es"))
    assert first(answer) == [f"{morning}\n\n 7 \r\n{night}\n"]


def test_a_long_text_is_translated_sentence_by_sentence(opus: OpusMt) -> None:
    story = [row[0] for row in PHRASES["story"]]
    told = first(answered(opus, asked(story, "en", "es"))[0])
    (answer,) = answered(opus, asked([" ".join(story * 8)], "en", "es"))
    assert first(answer) == [" ".join(told * 8)]


def test_a_translation_that_loops_is_searched_for_again_and_none_is_given_that_loops(opus: OpusMt) -> None:
    source = "Zq xv kj wq zx vk jq wx."
    (answer,) = answered(opus, asked([source] * 2, "en", "es", 4))
    given = [text.decode() for text in answer["TRANSLATIONS"][0] if text]
    assert given
    assert not any(loops(source, text) for text in given)


def test_every_key_opens_and_together_they_are_all_weights(starter_weights: Callable[[str], Any]) -> None:
    model = OpusMt({}, starter_weights("opus_mt"))
    keys = model.keys()
    assert sorted(keys) == ["en,de", "en,es", "es,en"]
    opened = [model.open(key) for key in keys]
    assert {leg.name for route in opened for leg in route.legs} == {w.name for w in starter_weights("opus_mt")}
    assert isinstance(model, Multiplexed)
    assert isinstance(model, Laned)


def test_routes_share_models_which_go_with_the_last_that_needs_them(starter_weights: Callable[[str], Any]) -> None:
    model = OpusMt({}, starter_weights("opus_mt"))
    pivot, direct = model.open("es-MX,de-AT"), model.open("en,de")
    assert pivot.legs[1] is direct.legs[0]
    assert model.open("en,en").legs == ()
    there, onward = (weakref.ref(leg) for leg in pivot.legs)
    del pivot
    gc.collect()
    assert there() is None
    assert onward() is direct.legs[0]


def test_callers_that_open_at_the_same_time_load_once(
    starter_weights: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Counted(Marian):
        def __init__(self, weights: WeightSet, search: Search) -> None:
            made.append(weights.name)
            super().__init__(weights, search)

    monkeypatch.setattr("serve.models.opus_mt.Marian", Counted)
    model = OpusMt({}, starter_weights("opus_mt"))
    with ThreadPoolExecutor(6) as pool:
        routes = list(pool.map(model.open, ["en,es", "es,de", "es,en"] * 2))
    assert sorted(made) == sorted(w.name for w in starter_weights("opus_mt"))
    assert len({id(leg) for route in routes for leg in route.legs}) == 3


def test_threads_that_translate_at_the_same_time_get_what_each_gets_alone(opus: OpusMt) -> None:
    jobs = [("en", "es"), ("es", "en"), ("en", "de"), ("es", "de")] * 3
    requests = [asked(sentences(source)[:8], source, target) for source, target in jobs]
    alone = [first(answered(opus, request)[0]) for request in requests[:4]] * 3
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda request: first(answered(opus, request)[0]), requests)) == alone


def test_two_threads_translate_as_one_does(opus: OpusMt, starter_weights: Callable[[str], Any]) -> None:
    wide = OpusMt({"threads": "2", "max_batch_tokens": "100"}, starter_weights("opus_mt"))
    request = asked(sentences("en"), "en", "es", 2)
    one, two = answered(opus, request)[0], answered(wide, request)[0]
    np.testing.assert_array_equal(one["TRANSLATIONS"], two["TRANSLATIONS"])
    np.testing.assert_allclose(one["SCORES"], two["SCORES"], atol=1e-3)


@pytest.mark.parametrize(
    ("key", "code", "reason"),
    [
        ("fr,es", Code.NOT_FOUND, "leads from 'fr' to 'es'"),
        ("en", Code.INVALID_ARGUMENT, "TARGET row 0"),
    ],
)
def test_a_key_that_leads_nowhere_is_refused(opus: OpusMt, key: str, code: Code, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as refused:
        opus.open(key)
    assert refused.value.code == code


def test_a_lane_is_a_pair_and_a_number_of_hypotheses(opus: OpusMt) -> None:
    base = opus.lane(asked(["One."], "en", "es"))
    assert opus.lane(asked(["Two."], "en-GB", "es_MX", 1)) == base
    assert len({base, opus.lane(asked(["One."], "en", "de")), opus.lane(asked(["One."], "en", "es", 2))}) == 3
    with pytest.raises(ModelError, match="not valid UTF-8"):
        opus.lane({**asked(["x"], "en", "es"), "TEXT": np.array([[b"\xc3("]], np.object_)})


def test_a_requests_size_grows_with_its_text_and_is_about_its_tokens(opus: OpusMt) -> None:
    one = opus.size(asked(["He was not an ill-disposed young man."], "en", "es"))
    assert 6 <= one <= 14
    assert opus.size(asked(["He was not an ill-disposed young man."] * 5, "en", "es")) == 5 * one


BATCHES = [
    ([], Search(), []),
    ([5, 40, 6, 12], Search(), [[1], [3, 2, 0]]),
    ([16] * 5, Search(max_batch_tokens=32), [[0], [1, 2], [3, 4]]),
    ([16] * 4, Search(threads=2), [[0, 1], [2, 3]]),
    ([500, 500], Search(max_batch_tokens=64), [[0], [1]]),
]


@pytest.mark.parametrize(("lengths", "search", "batches"), BATCHES)
def test_batches_hold_one_step_of_length_and_so_many_tokens(
    lengths: list[int], search: Search, batches: list[list[int]]
) -> None:
    assert batches_of(lengths, search) == batches


def test_a_models_own_number_of_positions_bounds_its_sentences(starter_weights: Callable[[str], Any]) -> None:
    weights = starter_weights("opus_mt")[0]
    assert Marian(weights, Search()).max_tokens == 256
    assert Marian(weights, Search(max_tokens=100)).max_tokens == 100


def test_a_forced_length_is_for_measuring_and_every_translation_has_it(starter_weights: Callable[[str], Any]) -> None:
    (weights,) = [w for w in starter_weights("opus_mt") if w.facts["target"] == "es"]
    marian = Marian(weights, Search(forced_tokens=30))
    (found,) = marian.translate([marian.pieces("Good morning.")], 1)
    assert isinstance(found, list)
    normal = Marian(weights, Search()).translate([marian.pieces("Good morning.")], 1)[0]
    assert isinstance(normal, list)
    assert len(found[0].text) > len(normal[0].text)


def test_a_sentence_the_library_refuses_is_its_own_error_and_harms_no_other(
    starter_weights: Callable[[str], Any],
) -> None:
    (weights,) = [w for w in starter_weights("opus_mt") if w.facts["target"] == "es"]
    marian = Marian(weights, Search(max_batch_tokens=4096))
    good = marian.pieces("Good morning.")
    bad = marian.pieces("word " * 400)
    results = marian.translate([good, bad], 1)
    alone = marian.translate([good], 1)
    assert results[0] == alone[0]
    assert isinstance(results[1], ModelError)


def test_silence_has_no_language_and_its_empty_text_stays_empty(opus: OpusMt) -> None:
    held = opus.open(",es")
    column = np.array([[b""]], np.object_)
    empty, words = opus.infer(
        [
            {"TEXT": column, "SOURCE": column, "TARGET": np.array([[b"es"]], np.object_)},
            {
                "TEXT": np.array([[b"Good morning."]], np.object_),
                "SOURCE": column,
                "TARGET": np.array([[b"es"]], np.object_),
            },
        ],
        [{"TRANSLATIONS"}] * 2,
    )
    assert not isinstance(empty, ModelError)
    assert empty["TRANSLATIONS"].tolist() == [[b""]]
    assert isinstance(words, ModelError)
    assert (words.code, "SOURCE row 0: expected a language code" in words.message) == (Code.INVALID_ARGUMENT, True)
    del held
