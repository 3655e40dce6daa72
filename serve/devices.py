"""Where a model computes: on the GPU Ray gave its replica, or on the CPU."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

MIB = 2**20
NVIDIA_SMI_S = 4.0

Device = Literal["cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")


def device_for(parameters: Mapping[str, str]) -> Device:
    """The device of a model whose config.pbtxt has these parameters: `device` is auto (the default), cpu or cuda.

    auto is cuda where Ray assigned this replica a GPU and CUDA sees it; outside Ray, where CUDA sees one. A GPU that
    is there but was not assigned is somebody else's. ValueError when cuda is demanded and there is none.
    """
    wanted = parameters.get("device", "auto")
    if wanted not in DEVICES:
        raise ValueError(f"device is '{wanted}', expected one of {', '.join(DEVICES)}")
    if wanted == "cpu":
        return "cpu"
    if _assigned() and _visible():
        return "cuda"
    if wanted == "cuda":
        raise ValueError("device is 'cuda', but no GPU was assigned to this replica: give it num_gpus in serve.yaml")
    return "cpu"


def gpu_memory(indices: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Bytes used, by whoever it is, and in all of these GPUs, as nvidia-smi says; nothing where that cannot be asked.

    Not by CUDA, which would take some hundred MB of the GPU to answer.
    """
    command = ["nvidia-smi", "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_SMI_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = (row.split(", ") for row in told.splitlines())
    return {int(index): (int(used) * MIB, int(most) * MIB) for index, used, most in rows if int(index) in indices}


def _assigned() -> bool:
    """Whether this replica may use a GPU. Outside Ray whoever starts the process decides (CUDA_VISIBLE_DEVICES)."""
    ray: Any = sys.modules.get("ray")
    return bool(ray.get_gpu_ids()) if ray is not None and ray.is_initialized() else True


def _visible() -> bool:
    import ctranslate2  # noqa: PLC0415 - 80 MB that a model on the CPU does without

    return bool(ctranslate2.get_cuda_device_count() > 0)
