"""serve.yaml is Ray Serve's own file, and what we rely on inside Ray is still there."""

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from serve.app import INGRESS, check_drain, options, read_config
from serve.environment import ENVIRONMENT
from serve.protocol import ports, proxy
from serve.repository import read_repository
from serve.settings import CHECKOUT, ServeSettings

SPECS = {name: spec for name, spec in read_repository(CHECKOUT / "model_repo").items() if not spec.steps}
SERVE_YAML = ServeSettings().serve_config


def test_the_file_is_valid_for_ray_and_places_every_model_and_the_protocol() -> None:
    (application,) = read_config(SERVE_YAML).applications
    assert {deployment.name for deployment in application.deployments} == {*SPECS, INGRESS}
    module, _, function = application.import_path.partition(":")
    assert callable(getattr(import_module(module), function))


def test_all_replicas_together_fit_one_core() -> None:
    """Those that are there from the start: what is scaled up from none comes when it is asked for."""
    placed = options(read_config(SERVE_YAML).applications[0]).values()
    there = [each.get("num_replicas") or each["autoscaling_config"]["initial_replicas"] for each in placed]
    cores = [each["ray_actor_options"]["num_cpus"] for each in placed]
    assert sum(count * share for count, share in zip(there, cores, strict=True)) <= 1.0


def test_batches_can_fill_and_the_queue_before_them_too() -> None:
    placed = options(read_config(SERVE_YAML).applications[0])
    for name, spec in SPECS.items():
        concurrent = int(spec.parameters.get("concurrent_batches", "1"))
        rows = spec.max_batch_size if spec.dynamic_batching else 1
        assert placed[name]["max_ongoing_requests"] >= rows * concurrent, name
        assert placed[name]["max_queued_requests"] > 0, name


def test_a_replica_that_stops_has_the_time_for_its_longest_request() -> None:
    placed = options(read_config(SERVE_YAML).applications[0])
    for name, spec in SPECS.items():
        check_drain(spec, placed[name])
        assert placed[INGRESS]["graceful_shutdown_timeout_s"] > placed[name]["graceful_shutdown_timeout_s"], name
    with pytest.raises(ValueError, match="whisper: graceful_shutdown_timeout_s is 20, but a request may wait and run"):
        check_drain(SPECS["whisper"], placed["whisper"] | {"graceful_shutdown_timeout_s": 20})


def test_voices_speak_side_by_side() -> None:
    assert options(read_config(SERVE_YAML).applications[0])["coqui_tts"]["num_replicas"] == 2


def test_a_key_that_is_not_rays_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "serve.yaml"
    broken.write_text(SERVE_YAML.read_text().replace("num_replicas: 2", "num_repliques: 2"))
    with pytest.raises(ValueError, match="DeploymentSchema of Ray Serve has no key 'num_repliques'"):
        read_config(broken)


def test_a_value_that_cannot_be_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "serve.yaml"
    broken.write_text(SERVE_YAML.read_text().replace("num_replicas: 2", "num_replicas: -2"))
    with pytest.raises(ValueError, match="num_replicas"):
        read_config(broken)


def test_the_servicer_function_of_the_file_is_ours() -> None:
    assert read_config(SERVE_YAML).grpc_options.grpc_servicer_functions == [proxy.SERVICER]
    assert ENVIRONMENT["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"] == proxy.CALLBACK


def test_ray_still_has_what_we_correct_in_it() -> None:
    """Ray binds gRPC to every interface and offers no setting. When one of these fails, see whether it does now."""
    grpc_util = inspect.getsource(import_module("ray.serve._private.grpc_util").start_grpc_server)
    assert "from ray.serve._private.default_impl import add_grpc_address" in grpc_util
    assert 'add_grpc_address(server, f"[::]:{grpc_options.port}")' in grpc_util
    server = inspect.getsource(proxy.grpc_util.gRPCGenericServer)
    assert "options=DEFAULT_GRPC_SERVER_OPTIONS + (extra_options or [])" in server
    assert "rpc_handler._method_handlers.items()" in server
    source = inspect.getsource(proxy.ray_proxy)
    assert "status = get_grpc_response_status(e, self.request_timeout_s, request_id)" in source
    assert "response_generator=self.not_found_response(proxy_request)" in source
    assert "error_status = get_http_response_status(e, request_timeout_s, request_id)" in source
    assert "in send_http_response_on_exception(\n                error_status, response_started\n" in source
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(ports.ray_replica)
    http_util = inspect.getsource(import_module("ray.serve._private.http_util"))
    assert "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH" in http_util


def test_tritonclients_messages_can_be_pickled_once_their_module_names_exist() -> None:
    script = (
        "import pickle, serve.protocol.messages as m;"
        "request = m.service_pb2.ModelInferRequest(model_name='x');"
        "assert pickle.loads(pickle.dumps(request)) == request"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
