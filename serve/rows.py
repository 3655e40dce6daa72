"""Rows of a request's batch dimension: taken out, and put together again."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from serve.models.base import Array, Tensors


def split(inputs: Tensors, rows: Sequence[int]) -> Tensors:
    """The same tensors with these rows only, in that order."""
    indices = list(rows)
    return {name: array[indices] for name, array in inputs.items()}


def merge(parts: Sequence[tuple[Sequence[int], Tensors]]) -> Tensors:
    """Tensors whose row `rows[i]` is row i of its part; `parts` together hold each row once.

    Where trailing dimensions differ, shorter rows are padded: numbers with 0, BYTES with b"".
    """
    count = sum(len(rows) for rows, _ in parts)
    return {name: _merged(count, [(rows, tensors[name]) for rows, tensors in parts]) for name in parts[0][1]}


def _merged(count: int, parts: Sequence[tuple[Sequence[int], Array]]) -> Array:
    shape = np.max([array.shape[1:] for _, array in parts], axis=0).astype(int) if parts[0][1].ndim > 1 else ()
    dtype = parts[0][1].dtype
    whole = np.full((count, *shape), b"" if dtype == np.object_ else 0, dtype)
    for rows, array in parts:
        inner: tuple[Any, ...] = tuple(slice(length) for length in array.shape[1:])
        for row, values in zip(rows, array, strict=True):
            whole[(row, *inner)] = values
    return whole
