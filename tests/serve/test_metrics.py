"""Prometheus text under Triton's names, from what Ray's agents export."""

import pytest

from serve.errors import Code, ModelError, exhausted, expired, internal, invalid, unavailable
from serve.metrics import Reason, exposition, reason_of

RAY = """# HELP ray_nv_inference_request_success_total requests that were answered
# TYPE ray_nv_inference_request_success_total counter
ray_nv_inference_request_success_total{model="vad",version="1"} 3.0
# HELP ray_serve_num_http_requests_total Ray's own
# TYPE ray_serve_num_http_requests_total counter
ray_serve_num_http_requests_total{route="/"} 1.0
# HELP ray_nv_model_memory_bytes memory of the replica
# TYPE ray_nv_model_memory_bytes gauge
ray_nv_model_memory_bytes{kind="cpu",model="vad"} 7.0
"""


def test_tritons_names_lose_rays_prefix_and_suffix_and_rays_own_stay() -> None:
    lines = exposition([RAY]).splitlines()
    assert 'nv_inference_request_success{model="vad",version="1"} 3.0' in lines
    assert "# TYPE nv_inference_request_success counter" in lines
    assert 'nv_model_memory_bytes{kind="cpu",model="vad"} 7.0' in lines
    assert 'ray_serve_num_http_requests_total{route="/"} 1.0' in lines


def test_two_nodes_make_one_page_that_describes_each_metric_once() -> None:
    page = exposition([RAY, RAY.replace('"vad"', '"whisper"')])
    assert page.count("# TYPE nv_inference_request_success counter") == 1
    assert 'nv_inference_request_success{model="whisper",version="1"} 3.0' in page


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exhausted("full"), Reason.REJECTED),
        (expired("late"), Reason.REJECTED),
        (internal("broken"), Reason.BACKEND),
        (invalid("wrong"), Reason.OTHER),
        (unavailable("starting"), Reason.OTHER),
        (ModelError(Code.NOT_FOUND, "what"), Reason.OTHER),
        (None, Reason.CANCELED),
    ],
)
def test_failures_have_tritons_reasons(error: ModelError | None, reason: Reason) -> None:
    assert reason_of(error) is reason
