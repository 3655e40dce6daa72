"""Triton's ensembles as a graph: steps that produce tensors from tensors, and whether such a graph can run.

Every tensor has one name in the whole ensemble, whoever produces it. https://github.com/triton-inference-server/server
describes the scheduling block in docs/user_guide/ensemble_models.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serve.repository import ModelSpec, TensorSpec

ENSEMBLE = "ensemble"


class GraphError(ValueError):
    """The ensemble cannot run: the message names the step, the tensor and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class EnsembleStep:
    """One model's part. `inputs`: the model's inputs -> tensors of the ensemble; `outputs`: likewise."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def producers(steps: Sequence[EnsembleStep]) -> dict[str, int]:
    """The index of the step that produces each tensor."""
    return {tensor: index for index, step in enumerate(steps) for tensor in step.outputs.values()}


def needed(steps: Sequence[EnsembleStep], tensors: set[str]) -> list[int]:
    """Indices of the steps that these tensors depend on, each after those it depends on itself."""
    made = producers(steps)
    found: dict[int, set[int]] = {}
    waiting = [made[tensor] for tensor in tensors if tensor in made]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found[index] = {made[tensor] for tensor in steps[index].inputs.values() if tensor in made}
            waiting.extend(found[index])
    try:
        return list(TopologicalSorter(found).static_order())
    except CycleError as error:
        circle = " -> ".join(named(steps, index) for index in reversed(error.args[1]))
        raise GraphError(f"the steps wait for each other: {circle}") from None


def named(steps: Sequence[EnsembleStep], index: int) -> str:
    """A step as messages call it."""
    return f"step {index + 1} ({steps[index].model})"


def check(ensemble: ModelSpec, models: Mapping[str, ModelSpec]) -> None:
    """GraphError unless the ensemble's steps can run on these models."""
    steps = ensemble.steps
    if ensemble.platform != ENSEMBLE:
        raise GraphError(f'ensemble_scheduling needs platform: "{ENSEMBLE}"')
    if not steps:
        raise GraphError("an ensemble needs an ensemble_scheduling block with at least one step")
    tensors = {tensor.name: tensor for tensor in ensemble.inputs}
    for index, step in enumerate(steps):
        step_name = named(steps, index)
        model = _model(ensemble, step, step_name, models)
        for tensor, output in _mapped(step.outputs, model.outputs, "output", step_name):
            if tensor in tensors:
                raise GraphError(f"{step_name} produces tensor {tensor}, which is there already; give it another name")
            tensors[tensor] = output
    for index, step in enumerate(steps):
        _check_inputs(ensemble, step, named(steps, index), models[step.model], tensors)
    made = producers(steps)
    for output in ensemble.outputs:
        if output.name not in made:
            raise GraphError(f"no step produces output {output.name}")
        where = f"{named(steps, made[output.name])}: tensor {output.name}"
        _agree(tensors[output.name], output, where, f"the ensemble's output {output.name}")
    needed(steps, set(made))


def check_nesting(models: Mapping[str, ModelSpec]) -> None:
    """GraphError when an ensemble contains itself, directly or through others."""
    try:
        TopologicalSorter({name: {step.model for step in spec.steps} for name, spec in models.items()}).prepare()
    except CycleError as error:
        raise GraphError(f"ensembles contain each other: {' -> '.join(reversed(error.args[1]))}") from None


def _model(ensemble: ModelSpec, step: EnsembleStep, step_name: str, models: Mapping[str, ModelSpec]) -> ModelSpec:
    if step.model not in models:
        raise GraphError(f"{step_name}: there is no model {step.model}; the repository has {', '.join(models)}")
    model = models[step.model]
    if 0 < model.max_batch_size < ensemble.max_batch_size:
        raise GraphError(
            f"{step_name} takes at most {model.max_batch_size} rows; lower max_batch_size {ensemble.max_batch_size}"
        )
    return model


def _check_inputs(
    ensemble: ModelSpec, step: EnsembleStep, step_name: str, model: ModelSpec, tensors: Mapping[str, TensorSpec]
) -> None:
    optional = {tensor.name for tensor in ensemble.inputs if tensor.optional}
    for tensor, wanted in _mapped(step.inputs, model.inputs, "input", step_name):
        if tensor not in tensors:
            raise GraphError(f"{step_name}: nothing produces tensor {tensor} for its input {wanted.name}")
        if tensor in optional and not wanted.optional:
            raise GraphError(f"{step_name} needs its input {wanted.name}, but {tensor} is optional; make it required")
        _agree(tensors[tensor], wanted, f"{step_name}: tensor {tensor}", f"its input {wanted.name}")
    for wanted in model.inputs:
        if not wanted.optional and wanted.name not in step.inputs:
            raise GraphError(f"{step_name} needs its input {wanted.name}; map a tensor to it")


def _mapped(
    mapping: Mapping[str, str], known: Sequence[TensorSpec], kind: str, step_name: str
) -> Iterator[tuple[str, TensorSpec]]:
    """Each mapped tensor of the ensemble with the model's tensor."""
    by_name = {tensor.name: tensor for tensor in known}
    for name, tensor in mapping.items():
        if name not in by_name:
            raise GraphError(f"{step_name} has no {kind} {name}; it has {', '.join(by_name)}")
        yield tensor, by_name[name]


def _agree(given: TensorSpec, wanted: TensorSpec, where: str, wanted_by: str) -> None:
    """Types must be the same, and lengths, where -1 is any length."""
    if given.datatype != wanted.datatype:
        raise GraphError(f"{where} is {given.datatype}, {wanted_by} has {wanted.datatype}")
    fits = len(given.dims) == len(wanted.dims) and all(
        a == b or -1 in (a, b) for a, b in zip(given.dims, wanted.dims, strict=True)
    )
    if not fits:
        raise GraphError(f"{where} has dims {list(given.dims)}, {wanted_by} has {list(wanted.dims)}")
