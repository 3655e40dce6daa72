"""The original without its voices, by a model that takes for a voice what both sides have in common."""

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.dubbing.mix import RATE
from orchestrator.inference import Inference, ModelRefusedError
from orchestrator.jobs import assembling, beds, context, earlier, keys
from orchestrator.jobs.models import Job
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.models import Media
from orchestrator.storage import Storage
from serve.models.base import WeightSet
from tests.orchestrator.jobs.test_mixing import music
from tests.serve.fixture_models import MidSide
from tests.standins.one_model import serving

pytestmark = pytest.mark.anyio
Sessions = async_sessionmaker[AsyncSession]
Samples = npt.NDArray[np.float32]

SEPARATE = Path(__file__).parents[3] / "model_repo" / "separate"
SECONDS = 14


@pytest.fixture(scope="module")
def separating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a plane with the model `separate`."""
    weights = WeightSet("mid-side", tmp_path_factory.mktemp("weights"), {"name": "mid-side"})
    with serving(SEPARATE, MidSide({}, [weights])) as address:
        yield address


@pytest.fixture
async def storage_with_models(storage_of_steps: Storage, separating: str) -> AsyncIterator[Storage]:
    async with Inference(separating, wait_s=30) as models:
        context.use(dataclasses.replace(context.current(), models=models))
        yield storage_of_steps


def song(seconds: float = SECONDS) -> Samples:
    """Music at the sides and a steady voice in the middle, [n, 2]."""
    sides = music(seconds)
    sides -= sides.mean(axis=1, keepdims=True)
    clock = np.arange(len(sides)) / RATE
    voice = 0.1 * np.sin(2 * np.pi * 300 * clock) * (np.sin(2 * np.pi * 0.3 * clock) > 0)
    return (sides + voice[:, None]).astype(np.float32)


async def test_the_background_is_the_original_without_its_voices_to_the_sample_across_all_windows(
    storage_with_models: Storage, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "song.wav", song(), RATE, "FLOAT")
    shares: list[float] = []
    async with beds.bed("j", "keep_background", tmp_path / "song.wav", tmp_path, SECONDS, shares.append) as bed:
        assert bed is not None
        background, rate = soundfile.read(bed.path, dtype="float32")
        assert rate == RATE
        assert np.allclose(background, song() - song().mean(axis=1, keepdims=True), atol=1e-5)
        assert not bed.ducked
        assert bed.voices is not None
        assert bed.voices.integrated == pytest.approx(-20.0, abs=2)
        assert bed.loudness.integrated < bed.voices.integrated
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".wav", ".flac")] == ["song.wav"]


async def test_it_is_made_once_for_all_languages(storage_with_models: Storage, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", song(0.3), RATE, "FLOAT")
    made: list[float] = []
    for _ in range(2):
        async with beds.bed("k", "keep_background", tmp_path / "song.wav", tmp_path, 0.3, made.append) as bed:
            assert bed is not None
            assert soundfile.info(bed.path).frames == round(0.3 * RATE)
    assert made == [1.0]
    assert await storage_with_models.exists(keys.background("k"))


@pytest.mark.parametrize("there_s", [0.9, 1.1])
async def test_a_kept_background_need_not_be_as_long_as_the_original_that_is_left(
    storage_of_steps: Storage, tmp_path: Path, there_s: float
) -> None:
    whole = song(1.1)
    sides = whole - whole.mean(axis=1, keepdims=True)
    soundfile.write(tmp_path / "song.wav", whole[:RATE], RATE, "FLOAT")
    file = io.BytesIO()
    soundfile.write(file, sides[: round(there_s * RATE)], RATE, "PCM_24", format="FLAC")
    await storage_of_steps.put_bytes(keys.background("m"), file.getvalue())
    async with beds.bed("m", "keep_background", tmp_path / "song.wav", tmp_path, 1.0) as bed:
        assert bed is not None
        assert bed.voices is not None
        assert bed.voices.integrated == pytest.approx(-20.0, abs=1)


async def test_without_a_model_that_does_it_the_reason_is_given(
    storage_of_steps: Storage, tmp_path: Path, model_plane: str
) -> None:
    soundfile.write(tmp_path / "song.wav", song(1.0), RATE, "FLOAT")
    async with Inference(model_plane, wait_s=30) as models:
        context.use(dataclasses.replace(context.current(), models=models))
        assert (await models.capabilities()).separator is None
        with pytest.raises(ModelRefusedError, match=r"'separate'.*set OCTAVIA_SEPARATE"):
            async with beds.bed("l", "keep_background", tmp_path / "song.wav", tmp_path, 1.0):
                pass
    assert not await storage_of_steps.exists(keys.background("l"))


@pytest.fixture
async def sung(dub: Job, make_session: Sessions, storage_of_steps: Storage) -> Job:
    """A dub of six seconds of song, to be given as a sound file."""
    file = io.BytesIO()
    await asyncio.to_thread(soundfile.write, file, song(6.0), RATE, "FLOAT", format="WAV")
    await storage_of_steps.put_bytes("media/clip/source", file.getvalue())
    async with make_session.begin() as session:
        job = await session.get_one(Job, dub.id)
        job.kind, job.options = "audio_translation", {"format": "wav"}
        media = await session.get_one(Media, job.media_id)
        media.kind, media.video = "audio", None
    return job


@pytest.mark.parametrize(("mix", "loudness"), [("replace", -23), ("voice_over", None)])
async def test_a_dub_is_mixed_as_asked_and_says_with_which_gains(
    sung: Job, make_session: Sessions, storage_of_steps: Storage, mix: str, loudness: int | None
) -> None:
    await is_mixed(sung, make_session, storage_of_steps, mix, loudness)


async def test_a_dub_keeps_the_background(sung: Job, make_session: Sessions, storage_with_models: Storage) -> None:
    await is_mixed(sung, make_session, storage_with_models, "keep_background", -14)


async def is_mixed(sung: Job, make_session: Sessions, storage: Storage, mix: str, loudness: int | None) -> None:
    async with make_session.begin() as session:
        options = {**sung.options, "mix": mix, "loudness": loudness}
        await session.execute(sa.update(Job).where(Job.id == sung.id).values(options=options))
    job_id = str(sung.id)
    await assembling.place_dub(job_id, "es")
    (audio,) = await assembling.render(job_id, "es")
    async with storage.local(audio["storage_key"]) as path:
        measured = await measure_loudness(path)
    assert measured.integrated == pytest.approx(loudness or -16, abs=0.6)
    assert measured.true_peak <= -1.0
    samples, rate = soundfile.read(io.BytesIO(await storage.read(audio["storage_key"])), dtype="float32")
    assert (rate, samples.shape) == (RATE, (6 * RATE, 2))
    has_sides = np.abs(samples[:, 0] - samples[:, 1]).max() > 0.01
    assert has_sides == (mix != "replace")
    async with make_session() as session:
        job = await session.get_one(Job, sung.id)
    levels = earlier.levels_of(job, "es")
    assert levels is not None
    assert (levels.bed_db is not None) == (mix != "replace")
    assert earlier.levels_of(job, "de") is None
    assert await assembling.render(job_id, "es") == [audio]
