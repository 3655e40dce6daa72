"""speaker_embedding in Triton's python backend. The package `serve` must be importable there."""

from serve.triton_backend import PythonModel


class TritonPythonModel(PythonModel):
    """What Triton looks for in this file."""

    model = "speaker_embedding"
