"""What every figure is quoted with: the machine it came from."""

import os
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Processor, cores, memory."""
    return f"{processor()}, {cores()} cores, {memory_gib():.0f} GiB, no GPU counted"


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


def cores() -> int:
    """Logical cores of the machine."""
    return os.cpu_count() or 1


def memory_gib() -> float:
    """Memory of the machine."""
    return float(psutil.virtual_memory().total / 2**30)
