"""What every model class shares: its weights, its parameters, and reading rows out of tensors."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from serve.errors import ModelError, invalid

Array = npt.NDArray[Any]
Tensors = dict[str, Array]
Answer = Tensors | ModelError


@dataclass(frozen=True, slots=True)
class WeightSet:
    """Weights ready to load: their catalogue name, the local folder, and what the catalogue publishes about them."""

    name: str
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)


class Model(Protocol):
    """A model without any server around it. Synchronous; `infer` may be called from several threads."""

    def load(self) -> None:
        """Reads the weights and warms up."""

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        """One answer a request, in order. An entry of `batch` holds one request's inputs with their batch dimension,
        already validated against config.pbtxt; BYTES tensors are object arrays of bytes. A request that cannot be
        answered gets a ModelError and never harms its neighbours.
        """

    def catalogue(self) -> list[dict[str, Any]]:
        """What the loaded weights can do, as published in the configuration's parameters."""


@runtime_checkable
class Laned(Protocol):
    """A model that says which requests may share a batch."""

    def lane(self, inputs: Tensors) -> Hashable:
        """Requests of one lane may share a batch. ModelError refuses the request before it waits."""

    def size(self, inputs: Tensors) -> int:
        """What the request counts against the limit of a batch: rows, or tokens."""


@runtime_checkable
class Multiplexed(Protocol):
    """A model of many sets of weights, loaded when they are asked for.

    A request's key is the comma-joined text of its first row in the tensors that config.pbtxt's parameter
    `multiplex_by` names; all rows of a request that reaches the model have one key.
    """

    def open(self, key: str) -> object:
        """Loads what requests with that key need. It stays loaded as long as the returned object is referenced, and
        keys that need the same weights share them. ModelError when there is none.
        """

    def keys(self) -> Sequence[str]:
        """Keys that together need every set of weights, for servers that load everything."""


def texts(request: Tensors, name: str, rows: int, default: str = "") -> list[str]:
    """The strings of a [rows, 1] BYTES tensor; `default` where left out or empty. Refuses what is not UTF-8."""
    if name not in request:
        return [default] * rows
    return [decode(value, name, row) or default for row, value in enumerate(request[name].reshape(-1))]


def decode(value: bytes, name: str, row: int) -> str:
    """UTF-8 text of one element; ModelError names the tensor and the row."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid(f"{name} row {row}: not valid UTF-8 ({error.reason} at byte {error.start})") from None


def numbers(request: Tensors, name: str, rows: int, default: float) -> list[Any]:
    """The numbers of a [rows, 1] tensor, or `default` in each row."""
    return [default] * rows if name not in request else list(request[name].reshape(-1).tolist())


def bytes_column(values: Sequence[str]) -> Array:
    """Strings as a [n, 1] BYTES tensor."""
    column = np.empty((len(values), 1), dtype=np.object_)
    for row, value in enumerate(values):
        column[row, 0] = value.encode("utf-8")
    return column


def only(weights: Sequence[WeightSet], model: str) -> WeightSet:
    """The one set of weights of a model that a setting names them for. ValueError where there is not just one."""
    if len(weights) != 1:
        named = [weight.name for weight in weights]
        raise ValueError(f"{model} loads one set of weights, which OCTAVIA_{model.upper()} names; got {named}")
    return weights[0]


def base_language(code: str) -> str:
    """The primary subtag of a BCP 47 code, lower case: "en-US" -> "en"."""
    return code.replace("_", "-").split("-")[0].strip().lower()
