"""Which weights a request needs, read off its tensors: Ray routes it to a replica that has them."""

from collections.abc import Sequence

from serve.models.base import Tensors
from serve.repository import ModelSpec
from serve.runner import rows_of


def key_tensors(spec: ModelSpec) -> tuple[str, ...]:
    """The tensors named by config.pbtxt's parameter `multiplex_by`; () for a model with one set of weights."""
    named = spec.parameters.get("multiplex_by", "")
    return tuple(name.strip() for name in named.split(",") if name.strip())


def key_of(spec: ModelSpec, inputs: Tensors, row: int = 0) -> str:
    """The key of a row: its tensors' text, comma-joined. What is left out is empty, what is not UTF-8 is replaced."""
    return ",".join(
        inputs[name].reshape(-1)[row].decode("utf-8", "replace") if name in inputs else "" for name in key_tensors(spec)
    )


def groups(spec: ModelSpec, inputs: Tensors) -> dict[str, Sequence[int]]:
    """Row indices by key, in order of first appearance. One group with the key "" where nothing is multiplexed."""
    if not key_tensors(spec):
        return {"": range(rows_of(inputs))}
    if not spec.max_batch_size:
        return {key_of(spec, inputs): range(1)}
    found: dict[str, list[int]] = {}
    for row in range(rows_of(inputs)):
        found.setdefault(key_of(spec, inputs, row), []).append(row)
    return dict(found)
