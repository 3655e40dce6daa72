"""Ray's agents (port 8102 of the nodes) tell our metrics with a prefix and a suffix of Ray's; a real Prometheus takes
them off. The rule is the same on one machine and in a cluster (tests/k8s/test_discovery.py)."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.fixtures_monitoring import prometheus

PAGE = """# TYPE ray_nv_inference_request_success_total counter
ray_nv_inference_request_success_total{model="vad"} 3.0
# TYPE ray_nv_inference_queue_duration_us_total counter
ray_nv_inference_queue_duration_us_total{model="vad"} 90.0
# TYPE ray_nv_gpu_memory_total_bytes gauge
ray_nv_gpu_memory_total_bytes{gpu="0"} 24.0
# TYPE ray_serve_deployment_replica_healthy gauge
ray_serve_deployment_replica_healthy{deployment="vad"} 1.0
"""
EXPECTED = {
    "nv_inference_request_success": "3",
    "nv_inference_queue_duration_us": "90",
    "nv_gpu_memory_total_bytes": "24",
    "ray_serve_deployment_replica_healthy": "1",
}


class _Agent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def agent() -> Iterator[str]:
    """The address of a server that tells as an agent does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Agent) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_alerts_and_panels_find_what_rays_agents_tell_under_tritons_names(tmp_path: Path) -> None:
    with agent() as address, prometheus(tmp_path, {"octavia-models": address}) as running:
        running.until(lambda: running.query('up{job="octavia-models"} == 1'), 60)
        found = {name: [series["value"][1] for series in running.query(name)] for name in EXPECTED}
        assert found == {name: [value] for name, value in EXPECTED.items()}
        assert running.query('{__name__=~"ray_nv_.+"}') == []
