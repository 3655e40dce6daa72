"""What a model or the protocol answers instead of a result. The transports translate the code, nothing else."""

from enum import StrEnum

RETRY_AFTER_S = 1.0

MAX_MESSAGE = 1_000
"""Characters of a message. Callers' own names and texts are quoted in it, and gRPC carries it in a header of 8 KiB."""


class Code(StrEnum):
    """The status codes of the Open Inference Protocol that we use, by their gRPC names."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    NOT_FOUND = "NOT_FOUND"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"


class ModelError(Exception):
    """A refused or failed request: `message` is for the caller and names the tensor and what was expected.

    `retry_after_s`: when to repeat it, where repeating helps.
    """

    def __init__(self, code: Code, message: str, retry_after_s: float | None = None) -> None:
        self.code = code
        self.message = shortened(message)
        super().__init__(self.message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type["ModelError"], tuple[Code, str, float | None]]:
        return type(self), (self.code, self.message, self.retry_after_s)


def shortened(message: str) -> str:
    """The message, its middle left out where it is too long."""
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2 - 2
    return f"{message[:half]} … {message[-half:]}"


def invalid(message: str) -> ModelError:
    """The request is wrong and stays wrong when repeated."""
    return ModelError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ModelError:
    """There is no such model, language pair or voice; the message says which there are."""
    return ModelError(Code.NOT_FOUND, message)


def unavailable(message: str) -> ModelError:
    """Not now: starting or restarting. Repeating the request is safe."""
    return ModelError(Code.UNAVAILABLE, message, RETRY_AFTER_S)


def exhausted(message: str, retry_after_s: float = RETRY_AFTER_S) -> ModelError:
    """Overloaded, refused before anything was done. Repeating the request later is safe."""
    return ModelError(Code.RESOURCE_EXHAUSTED, message, max(RETRY_AFTER_S, retry_after_s))


def expired(message: str) -> ModelError:
    """The caller's own time limit passed before the work began."""
    return ModelError(Code.DEADLINE_EXCEEDED, message)


def internal(message: str) -> ModelError:
    """Our fault; the cause stands in the log, not in the message."""
    return ModelError(Code.INTERNAL, message)
