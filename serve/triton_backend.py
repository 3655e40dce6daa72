"""The model classes behind Triton's python backend: model_repo/<model>/1/model.py is a line over this.

Triton itself has validated types, shapes and batch against config.pbtxt; what it does not check is checked here.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from serve.errors import Code, ModelError
from serve.models import create
from serve.models.base import Answer, Multiplexed, Tensors
from serve.protocol.codec import check_finite
from serve.published import weight_set
from serve.repository import read_model
from serve.runner import run_batch
from serve.settings import get_settings
from serve.weights import ensure, selection_for

CODES = {  # ours -> the attribute of pb_utils.TritonError
    Code.INVALID_ARGUMENT: "INVALID_ARG",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.RESOURCE_EXHAUSTED: "UNAVAILABLE",
    Code.DEADLINE_EXCEEDED: "CANCELLED",
    Code.UNAVAILABLE: "UNAVAILABLE",
    Code.UNIMPLEMENTED: "UNSUPPORTED",
    Code.INTERNAL: "INTERNAL",
}


class PythonModel:
    """Triton's TritonPythonModel interface. A subclass names its model."""

    model: ClassVar[str]

    def initialize(self, args: dict[str, str]) -> None:
        """Loads all of the model's weights. `args` has the folder of the model repository, as Triton gives it."""
        self._triton = import_module("triton_python_backend_utils")
        spec = read_model(Path(args["model_repository"]))
        settings = get_settings()
        entries = [entry for entry in selection_for([self.model], settings) if entry.model == self.model]
        self._weights = [ensure(entry, settings) for entry in entries]
        self._outputs = [output.name for output in spec.outputs]
        self._loaded = create(self.model, spec.parameters, [weight_set(each) for each in self._weights])
        self._loaded.load()
        model = self._loaded
        self._held = list(map(model.open, model.keys())) if isinstance(model, Multiplexed) else []

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request, in order; a failed one carries its error and harms no other."""
        read = [self._read(request) for request in requests]
        good = [each for each in read if not isinstance(each, ModelError)]
        answers = iter(run_batch(self.model, self._loaded, [i for i, _ in good], [w for _, w in good]) if good else [])
        return [
            self._error(each) if isinstance(each, ModelError) else self._response(next(answers), each[1])
            for each in read
        ]

    def finalize(self) -> None:
        """Lets the weights go."""
        del self._held, self._loaded, self._weights

    def _read(self, request: Any) -> tuple[Tensors, set[str]] | ModelError:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            for name, array in inputs.items():
                check_finite(name, array)
        except ModelError as error:
            return error
        return inputs, set(request.requested_output_names()) or set(self._outputs)

    def _response(self, answer: Answer, requested: set[str]) -> Any:
        if isinstance(answer, ModelError):
            return self._error(answer)
        wanted = [name for name in self._outputs if name in requested]
        return self._triton.InferenceResponse([self._triton.Tensor(name, answer[name]) for name in wanted])

    def _error(self, error: ModelError) -> Any:
        code = getattr(self._triton.TritonError, CODES[error.code])
        return self._triton.InferenceResponse(error=self._triton.TritonError(error.message, code))
