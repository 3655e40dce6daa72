"""The cluster of the trace, as Ray's autoscaler reads it."""

from ray.autoscaler._private.util import prepare_config, validate_config

from benchmarks.scaling.plane import GPU_TYPE, Cluster, autoscaling_config


def test_rays_autoscaler_takes_the_configuration() -> None:
    config = prepare_config(autoscaling_config(Cluster("samples", "standin", 3, 12.0), "127.0.0.1:6379"))
    validate_config(config)
    worker = config["available_node_types"][GPU_TYPE]
    assert (worker["min_workers"], worker["max_workers"], worker["resources"]["GPU"]) == (0, 3, 1)
    assert config["idle_timeout_minutes"] == 0.2
