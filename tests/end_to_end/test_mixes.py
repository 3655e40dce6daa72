"""A dub over music through the running system: what is left of the music between the lines, how loud the whole is."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.local.client import Client
from tests.end_to_end.test_jobs import fetch, ffmpeg, loudness
from tests.fixtures_system import SAMPLE, System, run_job
from tests.orchestrator.jobs.test_mixing import SETTLED_S, correlation, music

pytestmark = pytest.mark.soak
RATE = 48_000
Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def with_music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with music under its speech, in stereo."""
    folder = tmp_path_factory.mktemp("music")
    soundfile.write(folder / "music.wav", music(40), RATE)
    mixed = "[0:a]aformat=channel_layouts=stereo[speech];[speech][1:a]amix=duration=first:normalize=0[both]"
    ffmpeg(
        *(
            "-i",
            str(SAMPLE),
            "-i",
            str(folder / "music.wav"),
            "-filter_complex",
            mixed,
            "-map",
            "0:v",
            "-map",
            "[both]",
        ),
        *("-c:v", "copy", "-c:a", "aac", "-b:a", "192k", str(folder / "video.mp4")),
    )
    return folder / "video.mp4"


def stereo(path: Path) -> Samples:
    """The default audio track, [n, 2]."""
    data = ffmpeg("-i", str(path), "-map", "0:a:0", "-ac", "2", "-ar", str(RATE), "-f", "f32le", "-")
    return np.frombuffer(data, np.float32).reshape(-1, 2)


def test_music_between_the_lines_of_a_voice_over_is_what_it_was(
    system: System, with_music: Path, tmp_path: Path
) -> None:
    async def work(client: Client) -> tuple[dict[str, Path], list[dict[str, Any]]]:
        options = {"mix": "voice_over", "loudness": -23}
        job = await run_job(client, with_music, kind="video_translation", target_languages=["es"], options=options)
        assert job["status"] == "completed", job["error"]
        return await fetch(client, job, tmp_path), await client.segments(job["id"])

    files, segments = system.ask(work)
    before, after = stereo(with_music), stereo(files["es.mp4"])
    samples = min(len(before), len(after))
    free = np.ones(samples, bool)
    for segment in segments:
        (spoken,) = segment["renditions"]
        end = spoken["onset"] + spoken["seconds"] + SETTLED_S
        free[round((spoken["onset"] - 0.02) * RATE) : round(end * RATE)] = False
    assert free.mean() > 0.05
    before, after = before[:samples][free], after[:samples][free]
    kept = [correlation(before[:, side], after[:, side]) for side in (0, 1)]
    width = [correlation(*each.T) for each in (before, after)]
    print(f"between the lines ({free.mean():.0%}): correlation {kept}, stereo correlation {width}")
    assert min(kept) >= 0.95
    assert width[1] == pytest.approx(width[0], abs=0.02)
    integrated, peak = loudness(files["es.mp4"])
    assert integrated == pytest.approx(-23, abs=1)
    assert peak <= -1
