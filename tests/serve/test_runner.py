"""What goes wrong with one request of a batch stays with that one."""

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from serve.errors import Code, ModelError, invalid
from serve.models.base import Answer, Tensors
from serve.runner import rows_of, run_batch


class Halver:
    """A model that halves X, cannot bear a 13 anywhere in its batch, and refuses negative numbers politely."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def load(self) -> None: ...

    def catalogue(self) -> list[dict[str, Any]]:
        return []

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        self.batches.append(len(batch))
        if any((request["X"] == 13).any() for request in batch):
            raise RuntimeError("13: a secret of the server")
        return [invalid("X: negative") if (r["X"] < 0).any() else {"Y": r["X"] / 2} for r in batch]


def ask(*values: float) -> tuple[Halver, list[Answer]]:
    model = Halver()
    return model, run_batch("halver", model, [{"X": np.array([[v]])} for v in values], [set()] * len(values))


def test_a_good_batch_runs_once() -> None:
    model, answers = ask(2, 4)
    assert model.batches == [2]
    assert [answer["Y"].item() for answer in answers if isinstance(answer, dict)] == [1, 2]


def test_a_refused_request_leaves_its_neighbours_answered() -> None:
    model, (first, refused, last) = ask(2, -1, 4)
    assert model.batches == [3]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert isinstance(refused, ModelError)
    assert refused.code == Code.INVALID_ARGUMENT


def test_a_request_that_breaks_the_model_fails_alone_and_its_cause_stays_in_the_log(caplog: Any) -> None:
    model, (first, broken, last) = ask(2, 13, 4)
    assert model.batches == [3, 1, 1, 1]
    assert isinstance(first, dict)
    assert isinstance(last, dict)
    assert isinstance(broken, ModelError)
    assert broken.code == Code.INTERNAL
    assert "secret" not in broken.message
    assert "13: a secret of the server" in caplog.text


def test_rows_are_counted_in_the_batch_dimension() -> None:
    assert rows_of({"X": np.zeros((3, 7))}) == 3


def test_an_error_survives_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(invalid("X: no")))  # noqa: S301 - our own
    assert (error.code, error.message) == (Code.INVALID_ARGUMENT, "X: no")
