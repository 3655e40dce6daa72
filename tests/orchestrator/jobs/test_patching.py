"""A few sentences of a dub made anew: its loudness is that of the whole, though only what changed is metered."""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.dubbing.balance import Levels
from orchestrator.dubbing.metering import Readings
from orchestrator.dubbing.mix import RATE
from orchestrator.dubbing.timeline import Clip
from orchestrator.jobs import patching
from orchestrator.jobs.mixing import mixed
from orchestrator.jobs.patching import LEAD_STEPS, REACH, STEP, patched, steps, touched
from orchestrator.jobs.stems import stem
from orchestrator.media.merge import merge
from orchestrator.media.metering import metered
from orchestrator.media.splicing import FRAME
from orchestrator.storage import Storage
from tests.orchestrator.media.clips import ffmpeg

pytestmark = pytest.mark.anyio

SECONDS = 60.0
CLIPS = [Clip(f"old/{at}", (5 * at + 1) * RATE, 3 * RATE) for at in range(11)]


async def put(storage: Storage, clip: Clip, pitch: float, loud: float) -> None:
    time = np.arange(clip.samples) / RATE
    voice = loud * np.sin(2 * np.pi * pitch * time + 3 * np.sin(5 * time))
    written = io.BytesIO()
    soundfile.write(written, voice, RATE, format="FLAC", subtype="PCM_16")
    await storage.put_bytes(clip.key, written.getvalue())


@pytest.fixture
async def previous(storage_of_steps: Storage, tmp_path: Path) -> tuple[Path, Levels, Readings]:
    """A minute's dub as a video, with its gains and its readings."""
    for at, clip in enumerate(CLIPS):
        await put(storage_of_steps, clip, 150 + 10 * at, 0.1 + 0.02 * (at % 3))
    track = await mixed(stem(CLIPS, SECONDS), None, tmp_path, -16.0)
    ffmpeg(tmp_path, f"-f lavfi -i testsrc=s=64x64:d={SECONDS} {{h264}} v.mp4")
    await merge(tmp_path / "v.mp4", track.path, tmp_path / "dub.mp4", language="es")
    return tmp_path / "dub.mp4", track.levels, await metered(tmp_path / "dub.mp4")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The files that were metered, and how many steps were read in each."""
    found: list[tuple[str, int]] = []

    async def noting(path: Path, skip: int = 0) -> Readings:
        readings = await metered(path, skip)
        found.append((path.name, len(readings)))
        return readings

    monkeypatch.setattr(patching, "metered", noting)
    return found


async def changed(storage: Storage, places: Sequence[int], loud: float) -> list[Clip]:
    after = list(CLIPS)
    for at in places:
        after[at] = Clip(f"new/{at}", CLIPS[at].onset, CLIPS[at].samples - RATE // 2)
        await put(storage, after[at], 333, loud)
    return after


def audible(readings: Readings) -> npt.NDArray[np.float64]:
    """Without what AAC makes up at random where it is all but silent."""
    return np.maximum(readings.rows, -40.0)


@pytest.mark.parametrize(("places", "loud"), [([5], 0.3), ([0], 0.02), ([10], 0.3), ([3, 4], 0.2), ([], 0.2)])
async def test_only_what_changed_is_metered_and_the_whole_is_known(
    storage_of_steps: Storage,
    previous: tuple[Path, Levels, Readings],
    heard: list[tuple[str, int]],
    tmp_path: Path,
    places: list[int],
    loud: float,
) -> None:
    video, levels, before = previous
    after = await changed(storage_of_steps, places, loud)
    track = await patched(video, CLIPS, after, SECONDS, levels, tmp_path, before)
    assert track.readings is not None
    assert len(heard) == min(1, len(places))
    assert sum(count for _, count in heard) < len(before) / 3
    whole = await metered(track.path, skip=FRAME)
    count = min(len(whole), len(before))
    assert count >= 600
    other = np.abs(audible(track.readings)[:count] - audible(whole)[:count])
    assert other.max() < 0.02
    wanted = whole.loudness()
    assert track.loudness.integrated == pytest.approx(wanted.integrated, abs=0.01)
    assert track.loudness.true_peak == pytest.approx(wanted.true_peak, abs=0.01)
    assert track.loudness.range == pytest.approx(wanted.range, abs=0.01)
    assert not places or not np.allclose(audible(before)[:count], audible(whole)[:count], atol=0.5)


@pytest.mark.parametrize("has_readings", [True, False])
async def test_the_whole_is_metered_where_much_changed_or_nothing_is_known(
    storage_of_steps: Storage,
    previous: tuple[Path, Levels, Readings],
    heard: list[tuple[str, int]],
    tmp_path: Path,
    has_readings: bool,
) -> None:
    video, levels, before = previous
    after = await changed(storage_of_steps, range(0, 11, 2) if has_readings else [5], 0.2)
    track = await patched(video, CLIPS, after, SECONDS, levels, tmp_path, before if has_readings else None)
    assert [name for name, _ in heard] == [track.path.name]
    assert track.readings is not None
    assert len(track.readings) == pytest.approx(len(before), abs=1)


async def test_what_was_cut_off_with_the_picture_may_change(
    storage_of_steps: Storage,
    previous: tuple[Path, Levels, Readings],
    heard: list[tuple[str, int]],
    tmp_path: Path,
) -> None:
    video, levels, before = previous
    beyond = Clip("new/beyond", round((SECONDS + 0.5) * RATE), RATE)
    await put(storage_of_steps, beyond, 200, 0.3)
    track = await patched(video, CLIPS, [*CLIPS, beyond], SECONDS + 2, levels, tmp_path, before)
    assert heard == []
    assert track.readings is not None
    assert np.array_equal(track.readings.rows, before.rows)


def test_steps_hold_all_that_is_other_and_are_in_order() -> None:
    spans = touched(CLIPS, [*CLIPS[:7], *CLIPS[8:]], round(SECONDS * RATE))
    ((first, stop),) = steps(spans, 600)
    assert first * STEP <= CLIPS[7].onset - REACH
    assert stop * STEP >= CLIPS[7].onset + CLIPS[7].samples + REACH + 3 * RATE
    near = [(10 * RATE, 11 * RATE), (0, RATE), (30 * RATE, 31 * RATE), (12 * RATE, 13 * RATE)]
    found = steps(near, 600)
    assert [each[0] for each in found] == sorted(each[0] for each in found)
    assert all(one[1] + LEAD_STEPS < other[0] for one, other in pairwise(found))
    assert steps([], 600) == []
    assert steps([(30 * RATE, 31 * RATE), (58 * RATE, 59 * RATE)], 305) == [(298, 305)]
