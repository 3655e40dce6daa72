"""An unmodified tritonclient over either transport, its answers in one form, so that one test asks any server."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc
import tritonclient.http
from google.protobuf import json_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

Array = npt.NDArray[Any]

TRANSPORTS: Mapping[str, Any] = {"grpc": tritonclient.grpc, "http": tritonclient.http}
HTTP_STATUS = {"400": "INVALID_ARGUMENT", "404": "NOT_FOUND", "501": "UNIMPLEMENTED", "503": "UNAVAILABLE"}
DEADLINE_S = 60.0


def column(*texts: str) -> Array:
    """A BYTES tensor [n, 1], one text a row."""
    return np.array([[text.encode()] for text in texts], np.object_)


class ProtocolClient:
    """The server at `address`, asked over `transport`: grpc or http."""

    def __init__(self, transport: str, address: str) -> None:
        self.transport = transport
        self._library = TRANSPORTS[transport]
        waiting = {} if transport == "grpc" else {"network_timeout": DEADLINE_S, "connection_timeout": DEADLINE_S}
        self.raw: Any = self._library.InferenceServerClient(address, **waiting)

    def close(self) -> None:
        """Ends the connection."""
        self.raw.close()

    def metadata(self, model: str) -> dict[str, Any]:
        """name, versions, platform, and inputs and outputs as (name, datatype, shape)."""
        told = self._json(self.raw.get_model_metadata, model)
        tensors = {
            kind: [(each["name"], each["datatype"], [int(n) for n in each["shape"]]) for each in told[kind]]
            for kind in ("inputs", "outputs")
        }
        return {"name": told["name"], "versions": list(told["versions"]), **tensors}

    def server_metadata(self) -> dict[str, Any]:
        """name, version and extensions."""
        return dict(self._json(self.raw.get_server_metadata))

    def config(self, model: str) -> Any:
        """The ModelConfig message."""
        if self.transport == "grpc":
            return self.raw.get_model_config(model).config
        told = self.raw.get_model_config(model)
        return json_format.ParseDict(told, model_config_pb2.ModelConfig(), ignore_unknown_fields=True)

    def states(self) -> dict[str, str]:
        """The repository's models that have a state, READY or UNAVAILABLE: with its reason where there is one."""
        told = self._json(self.raw.get_model_repository_index)
        models = told if isinstance(told, list) else told.get("models", [])
        return {
            each["name"]: f"{each['state']} {each.get('reason', '')}".strip() for each in models if each.get("state")
        }

    def counted(self, model: str) -> tuple[int, int]:
        """Inferences and successful requests of the model so far."""
        (told,) = self._json(self.raw.get_inference_statistics, model)["model_stats"]
        return int(told.get("inference_count", 0)), int(told["inference_stats"]["success"].get("count", 0))

    def infer(
        self, model: str, tensors: Mapping[str, Array], outputs: Sequence[str] = (), **options: Any
    ) -> dict[str, Array]:
        """Outputs by name."""
        return self.answer(model, tensors, outputs, **options)[1]

    def answer(
        self, model: str, tensors: Mapping[str, Array], outputs: Sequence[str] = (), **options: Any
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """The answer's model, version and id, and its outputs by name."""
        requested = [self._library.InferRequestedOutput(name) for name in outputs] or None
        result = self.raw.infer(model, self.inputs(tensors), outputs=requested, **options)
        response = result.get_response()
        if self.transport == "grpc":
            told = {"model": response.model_name, "version": response.model_version, "id": response.id}
            names = [output.name for output in response.outputs]
        else:
            told = {"model": response["model_name"], "version": response["model_version"], "id": response.get("id", "")}
            names = [output["name"] for output in response["outputs"]]
        return told, {name: result.as_numpy(name) for name in names}

    def refused(self, model: str, tensors: Mapping[str, Array], outputs: Sequence[str] = ()) -> tuple[str, str]:
        """The status, by its gRPC name, and the message of an inference that must fail."""
        try:
            self.infer(model, tensors, outputs)
        except InferenceServerException as error:
            return status(error), str(error.message())
        raise AssertionError(f"{model} answered what it should have refused")

    def inputs(self, tensors: Mapping[str, Array]) -> list[Any]:
        """The tensors as the client library takes them."""
        made = []
        for name, array in tensors.items():
            made.append(self._library.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            made[-1].set_data_from_numpy(array)
        return made

    def _json(self, question: Any, *arguments: str) -> Any:
        return question(*arguments, as_json=True) if self.transport == "grpc" else question(*arguments)


def status(error: InferenceServerException) -> str:
    """The error's status by its gRPC name, whatever the transport."""
    told = str(error.status()).removeprefix("StatusCode.")
    return HTTP_STATUS.get(told, told)


def opened(transport: str, address: str) -> closing[ProtocolClient]:
    """A client for a with statement."""
    return closing(ProtocolClient(transport, address))
