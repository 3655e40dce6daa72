"""Which weights a request needs, read off its tensors."""

from dataclasses import replace

import numpy as np

from serve.models.base import Tensors
from serve.repository import read_model
from serve.routing import groups, key_of
from serve.settings import CHECKOUT

PAIRS = read_model(CHECKOUT / "model_repo" / "opus_mt")
WHISPER = read_model(CHECKOUT / "model_repo" / "whisper")


def rows(*pairs: tuple[bytes, bytes]) -> Tensors:
    return {
        "TEXT": np.array([[b"a"]] * len(pairs), np.object_),
        "SOURCE": np.array([[source] for source, _ in pairs], np.object_),
        "TARGET": np.array([[target] for _, target in pairs], np.object_),
    }


def test_the_key_is_the_text_of_the_tensors_that_the_configuration_names() -> None:
    assert key_of(PAIRS, rows((b"en", b"es"))) == "en,es"


def test_rows_are_grouped_by_their_key_in_order_of_appearance() -> None:
    keyed = groups(PAIRS, rows((b"en", b"es"), (b"es", b"en"), (b"en", b"es")))
    assert {key: list(each) for key, each in keyed.items()} == {"en,es": [0, 2], "es,en": [1]}


def test_a_model_of_one_set_of_weights_has_one_group_without_a_key() -> None:
    keyed = groups(WHISPER, {"AUDIO": np.zeros((3, 4), np.float32)})
    assert {key: list(each) for key, each in keyed.items()} == {"": [0, 1, 2]}


def test_what_is_left_out_is_empty_and_what_is_no_text_breaks_nothing() -> None:
    inputs = rows((b"\xff", b"es"))
    del inputs["TARGET"]
    assert key_of(PAIRS, inputs) == "\ufffd,"


def test_a_model_without_batches_has_one_row() -> None:
    single = replace(PAIRS, max_batch_size=0)
    inputs = {name: np.array([text], np.object_) for name, text in (("SOURCE", b"en"), ("TARGET", b"de"))}
    assert {key: list(each) for key, each in groups(single, inputs).items()} == {"en,de": [0]}
