"""A stretch of a finished video's dub made anew: around it nothing changes, inside it sounds as it should."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from orchestrator.media.ffmpeg import run, source, target
from orchestrator.media.merge import SoftSubtitles, merge
from orchestrator.media.splicing import FRAME, MARGIN, OtherTrackError, Stretch, spliced, stretches
from orchestrator.media.streams import inspect

pytestmark = pytest.mark.anyio

RATE = 48_000
SECONDS = 6.0

Samples = npt.NDArray[np.float32]


def voice(changed: bool = False) -> Samples:
    """Six seconds with a gliding tone at 1 to 2.5 s and another at 4 to 5 s; from 1.6 to 2.2 s it may be other."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    sound = np.zeros(len(time), np.float32)
    for begin, end, pitch in ((1.0, 2.5, 180.0), (4.0, 5.0, 240.0)):
        inside = (time >= begin) & (time < end)
        sound[inside] = 0.3 * np.sin(2 * np.pi * pitch * time[inside] + 3 * np.sin(5 * time[inside]))
    if changed:
        inside = (time >= 1.6) & (time < 2.2)
        sound[inside] = 0.3 * np.sin(2 * np.pi * 330 * time[inside])
    return (np.round(sound * 32767) / 32768)[:, None].astype(np.float32)


async def decoded(path: Path, track: int, dest: Path) -> Samples:
    await run(target(source(path)[f"a:{track}"], path=dest, format="wav", acodec="pcm_f32le"))
    samples: Samples = soundfile.read(dest, dtype="float32", always_2d=True)[0][:, :1]
    return samples


@pytest.fixture
async def video(clips: Path, tmp_path: Path) -> Path:
    """The clip with the unchanged voice."""
    track, result = tmp_path / "dub.wav", tmp_path / "dub.mp4"
    soundfile.write(track, np.repeat(voice(), 2, axis=1), RATE, subtype="PCM_16")
    await merge(clips / "v.mp4", track, result, language="es", original_language="en")
    return result


async def test_what_is_around_a_stretch_stays_bit_for_bit(video: Path, tmp_path: Path) -> None:
    new = voice(changed=True)

    def sound(start: int, stop: int) -> Samples:
        samples = np.zeros((stop - start, 1), np.float32)
        there = new[start:stop]
        samples[: len(there)] = there
        return samples

    track, result, subtitles = tmp_path / "new.aac", tmp_path / "new.mp4", tmp_path / "s.srt"
    await spliced(video, track, [(round(1.6 * RATE), round(2.2 * RATE))], sound, tmp_path)
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nHola\n")
    made = await merge(video, track, result, language="es", subtitles=[SoftSubtitles("es", subtitles)], redone=True)
    assert made.picture_copied
    before = await decoded(video, 0, tmp_path / "before.wav")
    after = await decoded(result, 0, tmp_path / "after.wav")
    assert len(before) == len(after)
    reach = (MARGIN + 2) * FRAME
    first, last = round(1.6 * RATE) - reach, round(2.2 * RATE) + reach
    assert np.array_equal(before[:first], after[:first])
    assert np.array_equal(before[last:], after[last:])
    # At the joins it is as near to what was to be encoded as the first encoding was to its own.
    coded = [np.abs(got[first:last] - wanted[first:last]) for got, wanted in ((before, voice()), (after, new))]
    assert coded[1].max() < 1.5 * max(0.01, coded[0].max())
    one, other = [await decoded(path, 1, tmp_path / f"o{at}.wav") for at, path in enumerate((video, result))]
    assert np.array_equal(one, other)
    kinds = [(each.kind, each.default) for each in (await inspect(result)).streams]
    assert kinds == [("video", True), ("audio", True), ("audio", False), ("subtitle", False)]


async def test_a_track_that_is_not_of_our_making_is_refused(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(OtherTrackError):
        await spliced(clips / "v.mp4", tmp_path / "x.aac", [(0, 10)], lambda a, b: voice()[a:b], tmp_path)


def test_stretches_have_a_margin_and_those_near_each_other_are_one() -> None:
    assert stretches([], 100) == []
    assert stretches([(10 * FRAME, 11 * FRAME)], 500) == [Stretch(6, 16)]
    assert stretches([(300 * FRAME, 301 * FRAME), (0, 1)], 302) == [Stretch(0, 6), Stretch(296, 302)]
    assert stretches([(10 * FRAME, 11 * FRAME), (40 * FRAME, 41 * FRAME)], 500) == [Stretch(6, 46)]
