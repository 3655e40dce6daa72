"""Translation: equal to transformers on the same weights, n-best in order, and clear words for what cannot be done."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from serve.errors import Code, ModelError
from serve.models.base import Tensors
from serve.models.opus_mt import Hypothesis, OpusMt, looping, translatable

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
        (asked(["word " * 1000], "en", "es"), r"TEXT row 0: \d+ tokens, starter-opus-mt-en-es takes at most"),
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


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("No lo sé, no lo sé.", False),
        ("y por eso, y por eso, y por eso, y por eso, y por eso", True),
        ("la casa la casa la casa la casa la casa", True),
        ("palabra " * 60, True),
        ("Y el señor John Dashwood tuvo entonces tiempo para considerar.", False),
    ],
)
def test_a_translation_that_repeats_itself_is_noticed(text: str, loop: bool) -> None:
    assert looping(text, 10) is loop


def test_two_letters_or_digits_are_text() -> None:
    assert [translatable(text) for text in ("ok", "A1", "A", "-7-", "", "¿?")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]


def test_a_hypothesis_is_text_and_score() -> None:
    assert Hypothesis("a", -0.5) == Hypothesis("a", -0.5)
