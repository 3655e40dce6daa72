"""The meter from moment to moment: for the whole it says what ffmpeg's own does, and a piece reads as in the whole."""

from pathlib import Path

import numpy as np
import pytest

from orchestrator.media.failures import MediaError
from orchestrator.media.loudness import measure_loudness
from orchestrator.media.merge import merge
from orchestrator.media.metering import metered
from orchestrator.media.splicing import FRAME, cut
from tests.orchestrator.media.clips import ffmpeg

pytestmark = pytest.mark.anyio

RATE = 48_000
SPEECHLIKE = "\"aevalsrc='0.4*sin(880*t+4*sin(5*t))*gt(sin(1.7*t),-0.3)*(0.2+0.8*gt(sin(0.4*t),0))':s=48000:d=20\""
NOISE = "anoisesrc=d=12:a=0.2:seed=3,aformat=channel_layouts=stereo"


@pytest.mark.parametrize(
    "made",
    [
        f"-f lavfi -i {SPEECHLIKE} -ac 1 x.wav",
        f"-f lavfi -i {SPEECHLIKE} -ac 2 -c:a aac x.m4a",
        f"-f lavfi -i {SPEECHLIKE} -ar 44100 -c:a libmp3lame x.mp3",
        f"-f lavfi -i {NOISE} x.flac",
    ],
)
async def test_it_says_of_the_whole_what_the_filter_says(tmp_path: Path, made: str) -> None:
    ffmpeg(tmp_path, made)
    path = next(tmp_path.glob("x.*"))
    wanted, found = await measure_loudness(path), (await metered(path)).loudness()
    assert found.integrated == pytest.approx(wanted.integrated, abs=0.07)
    assert found.range == pytest.approx(wanted.range, abs=0.3)
    assert found.true_peak == pytest.approx(wanted.true_peak, abs=0.3)  # of steep edges, by other resamplers


async def test_silence_and_a_blip_are_silent(tmp_path: Path) -> None:
    ffmpeg(tmp_path, "-f lavfi -i anullsrc=d=2 silence.wav")
    ffmpeg(tmp_path, "-f lavfi -i sine=d=0.05 blip.wav")
    assert (await metered(tmp_path / "silence.wav")).loudness().is_silent
    blip = (await metered(tmp_path / "blip.wav")).loudness()
    assert blip.is_silent
    assert blip.true_peak > -30


async def test_what_is_no_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF nothing of the kind")
    with pytest.raises(MediaError):
        await metered(tmp_path / "x.wav")


@pytest.mark.parametrize(("begin", "end"), [(0.0, 3.0), (4.0, 9.0), (15.0, 20.0)])
async def test_a_piece_cut_out_reads_as_in_the_whole(clips: Path, tmp_path: Path, begin: float, end: float) -> None:
    ffmpeg(tmp_path, f"-f lavfi -i {SPEECHLIKE} -ac 2 dub.wav")
    ffmpeg(tmp_path, "-f lavfi -i testsrc=s=64x64:d=20 -c:v libx264 -pix_fmt yuv420p v.mp4")
    await merge(tmp_path / "v.mp4", tmp_path / "dub.wav", tmp_path / "dub.mp4", language="es")
    ffmpeg(tmp_path, "-i dub.mp4 -map 0:a:0 -c copy -f adts dub.aac")
    whole, piece = await metered(tmp_path / "dub.mp4"), tmp_path / "piece.aac"
    raw = await metered(tmp_path / "dub.aac", skip=FRAME)
    assert not np.isnan(whole.rows).any()
    assert np.allclose(raw.rows[:190], whole.rows[:190], atol=0.01)
    found = await metered(piece, skip=await cut(tmp_path / "dub.aac", piece, round(begin * RATE), round(end * RATE)))
    first, lead = round(begin * 10), 32 if begin else 0
    wanted = whole.rows[first + lead : round(end * 10)]
    assert len(wanted) > 15
    assert np.allclose(found.rows[lead : lead + len(wanted)], wanted, atol=0.05)
