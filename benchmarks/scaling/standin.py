"""The model of the trace: it sleeps as long as a GPU would compute, and writes down every batch."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from serve.models.base import Answer, Tensors, WeightSet

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "SECONDS", data_type: TYPE_FP32, dims: [ 1 ] }} ]
output [ {{ name: "ROWS", data_type: TYPE_INT32, dims: [ 1 ] }} ]
dynamic_batching {{
  preferred_batch_size: [ {preferred} ]
  max_queue_delay_microseconds: {delay_us}
  default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: 60000000 max_queue_size: 256 }}
}}
parameters {{ key: "class" value: {{ string_value: "benchmarks.scaling.standin:Standin" }} }}
parameters {{ key: "diary" value: {{ string_value: "{diary}" }} }}
parameters {{ key: "shared" value: {{ string_value: "{shared}" }} }}
parameters {{ key: "stuck_s" value: {{ string_value: "30" }} }}
"""


def batch_seconds(alone: Sequence[float], shared: float) -> float:
    """How long a batch computes whose requests would take `alone` seconds each by themselves.

    `shared` is the part of a request's time that a batch spends once, whatever its size: 0 is a machine that gains
    nothing by batches, 1 one on which a batch takes no longer than its longest request.
    """
    return shared * max(alone) + (1 - shared) * sum(alone)


class Standin:
    """Sleeps `batch_seconds` and appends {began, ended, rows, pid} to the file `diary`."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        del weights
        self._diary = Path(parameters["diary"])
        self._shared = float(parameters["shared"])

    def load(self) -> None:
        """There is nothing to load; the start of a replica is that of its process."""

    def catalogue(self) -> list[dict[str, object]]:
        return []

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        began = time.time()
        alone = [float(seconds) for each in batch for seconds in each["SECONDS"].ravel()]
        time.sleep(batch_seconds(alone, self._shared))
        line = {"began": began, "ended": time.time(), "rows": len(alone), "pid": os.getpid()}
        with self._diary.open("a", encoding="utf-8") as diary:
            diary.write(json.dumps(line) + "\n")
        return [{"ROWS": np.full((len(each["SECONDS"]), 1), len(alone), np.int32)} for each in batch]
