"""A model plane with an obedient model, for tests of how the plane behaves when things go wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import yaml

CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 8
input [
  {{ name: "SECONDS", data_type: TYPE_FP32, dims: [ 1 ] }},
  {{ name: "TASK", data_type: TYPE_STRING, dims: [ 1 ], optional: true }},
  {{ name: "LANE", data_type: TYPE_STRING, dims: [ 1 ], optional: true }},
  {{ name: "NAME", data_type: TYPE_STRING, dims: [ 1 ], optional: true }}
]
output [ {{ name: "ROWS", data_type: TYPE_INT32, dims: [ 1 ] }} ]
dynamic_batching {{
  preferred_batch_size: [ {preferred} ]
  max_queue_delay_microseconds: {delay_us}
  default_queue_policy {{ timeout_action: REJECT default_timeout_microseconds: {timeout_us} max_queue_size: {queue} }}
}}
parameters {{ key: "class" value: {{ string_value: "tests.serve.fixture_models:Obedient" }} }}
parameters {{ key: "diary" value: {{ string_value: "{diary}" }} }}
parameters {{ key: "stuck_s" value: {{ string_value: "{stuck_s}" }} }}
"""

DEPLOYMENT: dict[str, Any] = {
    "num_replicas": 1,
    "max_ongoing_requests": 200,
    "max_queued_requests": 100,
    "ray_actor_options": {"num_cpus": 0.05},
    "graceful_shutdown_timeout_s": 30,
    "health_check_period_s": 1,
    "health_check_timeout_s": 5,
}


def write_model(folder: Path, name: str, **changes: Any) -> Path:
    """model_repo with one more obedient model; the path of its diary."""
    values = {"preferred": 4, "delay_us": 200_000, "timeout_us": 20_000_000, "queue": 64, "stuck_s": 4} | changes
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "catalogue.toml").touch()
    diary = folder.parent / f"{name}.diary"
    (folder / name / "config.pbtxt").write_text(CONFIG.format(name=name, diary=diary, **values))
    return diary


def write_serve_yaml(path: Path, models: Mapping[str, Mapping[str, Any]]) -> Path:
    """serve.yaml for these models, each with changes to DEPLOYMENT."""
    config = yaml.safe_load((Path(__file__).parents[1] / "serve" / "serve.yaml").read_text())
    protocol = {"name": "protocol", **DEPLOYMENT, "max_ongoing_requests": 2000}
    deployments = [{"name": name, **DEPLOYMENT, **changes} for name, changes in models.items()]
    config["applications"][0]["deployments"] = [protocol, *deployments]
    path.write_text(yaml.safe_dump(config))
    return path


def obedient_request(seconds: float = 0.0, rows: int = 1, **words: str) -> list[triton.InferInput]:
    """A request of the obedient model."""
    inputs = [triton.InferInput("SECONDS", [rows, 1], "FP32")]
    inputs[0].set_data_from_numpy(np.full((rows, 1), seconds, np.float32))
    for name, text in words.items():
        tensor = triton.InferInput(name.upper(), [rows, 1], "BYTES")
        tensor.set_data_from_numpy(np.full((rows, 1), text.encode(), np.object_))
        inputs.append(tensor)
    return inputs
