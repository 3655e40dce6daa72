"""How a dub fits, told by the sound a user gets: passages with pauses of every length through the running system."""

from pathlib import Path

import pytest

from benchmarks.fit import HEARD_RATE, SAMPLE, Judged, dub, judge
from benchmarks.passage import build
from orchestrator.inference import Inference
from orchestrator.local.client import Client
from tests.fixtures_system import System

ONSET_S = 0.02


def dubbed_passage(system: System, model_plane: str, folder: Path, seconds: float) -> Judged:
    async def work(client: Client) -> Judged:
        async with Inference(model_plane) as models:
            passage = await build(models, folder / "passage.wav", seconds)
        segments, sound = await dub(client, passage.path, folder)
        return judge(segments, sound, len(sound) / HEARD_RATE, passage)

    return system.ask(work)


def test_a_dub_fits_its_slots_without_hurry_and_never_drifts(system: System, model_plane: str, tmp_path: Path) -> None:
    found = dubbed_passage(system, model_plane, tmp_path, 35.0)
    assert found.segments >= 8
    assert found.overlaps == 0
    assert found.onset_error_p95_s <= ONSET_S
    assert found.last_onset_error_s <= ONSET_S
    assert found.in_slot_at_ease >= 0.9
    assert found.max_speed <= 1.4


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_minutes_fit_their_slots_without_hurry_and_end_as_exactly_as_they_begin(
    system: System, model_plane: str, tmp_path: Path
) -> None:
    found = dubbed_passage(system, model_plane, tmp_path, 600.0)
    assert found.segments >= 100
    assert found.in_slot_at_ease >= 0.95
    assert found.overlaps == 0
    assert found.onset_error_p95_s <= ONSET_S
    assert found.last_onset_error_s <= max(ONSET_S, found.first_onset_error_s)


@pytest.mark.soak
def test_the_sample_fits_its_slots_without_hurry(system: System, tmp_path: Path) -> None:
    async def work(client: Client) -> Judged:
        segments, sound = await dub(client, SAMPLE, tmp_path)
        return judge(segments, sound, len(sound) / HEARD_RATE)

    found = system.ask(work)
    assert found.in_slot_at_ease >= 0.95
    assert found.overlaps == 0
    assert found.onset_error_p95_s <= ONSET_S
