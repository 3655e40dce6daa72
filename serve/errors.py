"""What a model or the protocol answers instead of a result. The transports translate the code, nothing else."""

from enum import StrEnum


class Code(StrEnum):
    """The status codes of the Open Inference Protocol that we use, by their gRPC names."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class ModelError(Exception):
    """A refused or failed request: `message` is for the caller and names the tensor and what was expected."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["ModelError"], tuple[Code, str]]:
        return type(self), (self.code, self.message)


def invalid(message: str) -> ModelError:
    """The request is wrong and stays wrong when repeated."""
    return ModelError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ModelError:
    """There is no such model, language pair or voice; the message says which there are."""
    return ModelError(Code.NOT_FOUND, message)


def unavailable(message: str) -> ModelError:
    """Not now: starting, restarting or overloaded. Repeating the request is safe."""
    return ModelError(Code.UNAVAILABLE, message)


def internal(message: str) -> ModelError:
    """Our fault; the cause stands in the log, not in the message."""
    return ModelError(Code.INTERNAL, message)
