"""A model computes on a GPU only where it was given one."""

import pytest

from serve.devices import device_for


@pytest.mark.parametrize("parameters", [{}, {"device": "auto"}, {"device": "cpu"}])
def test_without_a_gpu_a_model_computes_on_the_cpu(parameters: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.devices._visible", lambda: False)
    assert device_for(parameters) == "cpu"


def test_with_a_gpu_auto_takes_it_and_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.devices._visible", lambda: True)
    monkeypatch.setattr("serve.devices._assigned", lambda: True)
    assert device_for({"device": "auto"}) == "cuda"
    assert device_for({"device": "cpu"}) == "cpu"


def test_a_gpu_that_ray_gave_to_somebody_else_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.devices._visible", lambda: True)
    monkeypatch.setattr("serve.devices._assigned", lambda: False)
    assert device_for({}) == "cpu"


def test_a_demand_that_cannot_be_met_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.devices._visible", lambda: False)
    with pytest.raises(ValueError, match=r"give it num_gpus in serve\.yaml"):
        device_for({"device": "cuda"})
    with pytest.raises(ValueError, match="expected one of auto, cpu, cuda"):
        device_for({"device": "tpu"})
