"""The model plane with weights named for `separate`: a dub that keeps the background, by Ray and by the real loader."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from orchestrator.inference import Inference
from serve.settings import CHECKOUT
from tests.fixtures_model_plane import Plane, start_plane
from tests.fixtures_operation import write_serve_yaml
from tests.serve.test_separate import ENTRY, write_demucs

pytestmark = [pytest.mark.soak, pytest.mark.anyio]


@pytest.fixture(scope="module")
def plane_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A plane with the model `separate` alone."""
    root = tmp_path_factory.mktemp("separating")
    repository = root / "model_repo"
    repository.mkdir()
    (repository / "separate").symlink_to(CHECKOUT / "model_repo" / "separate")
    (repository / "catalogue.toml").write_text(ENTRY.format(folder=write_demucs(root / "weights")))
    deployments = {"separate": {"graceful_shutdown_timeout_s": 400}}
    plane = start_plane(
        root / "serve.log",
        OCTAVIA_PARENT_PID=str(os.getpid()),
        OCTAVIA_MODEL_REPO=str(repository),
        OCTAVIA_SERVE_CONFIG=str(write_serve_yaml(Path(root / "serve.yaml"), deployments)),
        OCTAVIA_SEPARATE="small-demucs",
    )
    yield plane
    plane.stop()


async def test_a_window_of_twelve_seconds_comes_back_without_its_voices(plane_of_one: Plane) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (12 * 48_000, 2)).astype(np.float32)
    async with Inference(plane_of_one.address, wait_s=60) as models:
        background = await models.separate(sound, 48_000)
        again = await models.separate(sound, 48_000)
    assert background.shape == sound.shape
    assert np.isfinite(background).all()
    assert np.array_equal(background, again)
