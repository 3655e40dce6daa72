"""model_repo/ -> ModelSpec: each model's tensors, batching and parameters, read from Triton's own config.pbtxt."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from serve.graph import ENSEMBLE, EnsembleStep, GraphError, check, check_nesting

VERSION = "1"
MAX_QUEUE_SIZE = 10_000
"""Where config.pbtxt sets no limit, Triton has none; ours is far more than anybody waits for."""

STUCK_S = 120.0
"""A batch that takes longer is taken for stuck: the health check fails and Ray replaces the replica."""

DATATYPES = {  # Triton's configuration name -> the protocol's name
    "TYPE_BOOL": "BOOL",
    "TYPE_UINT8": "UINT8",
    "TYPE_UINT16": "UINT16",
    "TYPE_UINT32": "UINT32",
    "TYPE_UINT64": "UINT64",
    "TYPE_INT8": "INT8",
    "TYPE_INT16": "INT16",
    "TYPE_INT32": "INT32",
    "TYPE_INT64": "INT64",
    "TYPE_FP16": "FP16",
    "TYPE_FP32": "FP32",
    "TYPE_FP64": "FP64",
    "TYPE_STRING": "BYTES",
}


class RepositoryError(ValueError):
    """The model repository is not one: the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor. `dims` is without the batch dimension; -1 is any length."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model. `max_batch_size` 0 means that tensors have no batch dimension. Only an ensemble has `steps`."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    platform: str
    config_text: str
    preferred_batch_size: int = 0
    max_queue_delay_s: float = 0.0
    dynamic_batching: bool = False
    max_queue_size: int = MAX_QUEUE_SIZE
    queue_timeout_s: float | None = None
    instance_count: int = 1
    kind: str = "KIND_CPU"
    parameters: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[EnsembleStep, ...] = ()

    def shape(self, tensor: TensorSpec) -> list[int]:
        """The tensor's shape as the protocol's metadata gives it, with the batch dimension as -1."""
        return ([-1] if self.max_batch_size else []) + list(tensor.dims)

    def config(self) -> Any:
        """A fresh ModelConfig message."""
        return parse_config(self.config_text, self.name)


def stuck_s(spec: ModelSpec) -> float:
    """Seconds after which a batch of this model is taken for stuck: config.pbtxt's parameter `stuck_s`."""
    return float(spec.parameters.get("stuck_s", STUCK_S))


def parse_config(text: str, source: str) -> Any:
    """Triton's ModelConfig message from its text form; RepositoryError says where it is malformed."""
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise RepositoryError(f"{source}: not a Triton model configuration: {error}") from error


def read_model(folder: Path) -> ModelSpec:
    """The model described by folder/config.pbtxt; RepositoryError when it is unreadable or contradicts itself."""
    path = folder / "config.pbtxt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RepositoryError(f"{path}: {error.strerror}") from error
    config = parse_config(text, str(path))
    if config.name != folder.name:
        raise RepositoryError(f"{path}: name is {config.name!r}, its folder is {folder.name!r}")
    return _spec(config, text, path)


def read_repository(path: Path) -> dict[str, ModelSpec]:
    """Every model of a repository by name: each folder with a config.pbtxt. RepositoryError when there is none, or when
    an ensemble does not fit the models it is made of.
    """
    folders = sorted(config.parent for config in path.glob("*/config.pbtxt"))
    if not folders:
        raise RepositoryError(f"{path} holds no model: expected folders with a config.pbtxt")
    specs = {folder.name: read_model(folder) for folder in folders}
    for name, spec in specs.items():
        if spec.steps or spec.platform == ENSEMBLE:
            _complain(path / name / "config.pbtxt", check, spec, specs)
    _complain(path, check_nesting, specs)
    return specs


def _complain(path: Path, checked: Callable[..., None], *arguments: Any) -> None:
    try:
        checked(*arguments)
    except GraphError as error:
        raise RepositoryError(f"{path}: {error}") from None


def _spec(c: Any, text: str, path: Path) -> ModelSpec:
    inputs = tuple(_tensor(tensor, path, optional=tensor.optional) for tensor in c.input)
    outputs = tuple(_tensor(tensor, path) for tensor in c.output)
    if not inputs or not outputs:
        raise RepositoryError(f"{path}: a model needs at least one input and one output")
    for tensors in (inputs, outputs):
        names = [tensor.name for tensor in tensors]
        if len(names) != len(set(names)):
            raise RepositoryError(f"{path}: a tensor is described twice among {', '.join(names)}")
    group = c.instance_group[0] if c.instance_group else None
    parameters = {key: value.string_value for key, value in c.parameters.items()}
    policy = c.dynamic_batching.default_queue_policy
    return ModelSpec(
        name=c.name,
        inputs=inputs,
        outputs=outputs,
        max_batch_size=c.max_batch_size,
        platform=c.platform or c.backend,
        config_text=text,
        preferred_batch_size=max(c.dynamic_batching.preferred_batch_size, default=0),
        max_queue_delay_s=c.dynamic_batching.max_queue_delay_microseconds / 1e6,
        dynamic_batching=c.HasField("dynamic_batching"),
        max_queue_size=policy.max_queue_size or int(parameters.get("max_queue_size", MAX_QUEUE_SIZE)),
        queue_timeout_s=policy.default_timeout_microseconds / 1e6
        or float(parameters.get("queue_timeout_s", 0))
        or None,
        instance_count=group.count if group else 1,
        kind=model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind) if group else "KIND_CPU",
        parameters=parameters,
        steps=tuple(_step(step, path) for step in c.ensemble_scheduling.step),
    )


def _step(s: Any, path: Path) -> EnsembleStep:
    if s.model_version not in (-1, 0, int(VERSION)):
        raise RepositoryError(f"{path}: step {s.model_name} wants version {s.model_version}; there is only {VERSION}")
    return EnsembleStep(s.model_name, dict(s.input_map), dict(s.output_map))


def _tensor(t: Any, path: Path, *, optional: bool = False) -> TensorSpec:
    name = model_config_pb2.DataType.Name(t.data_type)
    if name not in DATATYPES:
        raise RepositoryError(f"{path}: tensor {t.name} has data type {name}; use one of {', '.join(DATATYPES)}")
    return TensorSpec(t.name, DATATYPES[name], tuple(t.dims), optional)
