"""Makes samples/sense-and-sensibility.mp4 and its transcript from five clips of a LibriVox reading.

    python scripts/make_sample.py [--clips DIR] [--out samples]

The clips come with Debian's package pocketsphinx-testdata: "Sense and Sensibility" by Jane Austen, chapter 1, read for
LibriVox and in the public domain (the package is BSD-2-Clause). The picture, plain with a running timecode, is ours.
"""

import argparse
from pathlib import Path

import ffmpeg

CLIPS = Path("/usr/share/pocketsphinx/test/data/librivox")
SAMPLES = Path(__file__).resolve().parent.parent / "samples"
FONTS = Path("/usr/share/fonts/truetype/dejavu")
NAME = "sense-and-sensibility"
BEFORE_S = 0.8
RATE = 48000
SENTENCES = (  # clip number, pause after it in seconds, what is said
    ("0870", 1.0, "And Mr. John Dashwood had then leisure to consider how much there might be prudently in his power "
                  "to do for them."),
    ("0880", 0.7, "He was not an ill-disposed young man."),
    ("0890", 1.1, "Unless to be rather cold-hearted and rather selfish is to be ill-disposed."),
    ("0920", 0.9, "Had he married a more amiable woman, he might have been made still more respectable than he was."),
    ("0930", 1.2, "He might even have been made amiable himself."),
)  # fmt: skip
LICENCE = """\
sense-and-sensibility.mp4 and sense-and-sensibility.txt

Words: "Sense and Sensibility" by Jane Austen, 1811. Public domain.
Voice: a LibriVox recording of chapter 1, public domain, as cut into clips for CMU PocketSphinx
(Debian package pocketsphinx-testdata, BSD-2-Clause).
Picture: made by scripts/make_sample.py, CC0-1.0.
"""


def clip_path(folder: Path, number: str) -> Path:
    """The clip's file."""
    return folder / f"sense_and_sensibility_01_austen_64kb-{number}.wav"


def speech(folder: Path) -> ffmpeg.nodes.FilterableStream:
    """The five clips in order with their pauses, 48 kHz mono."""
    parts = []
    for index, (number, pause, _) in enumerate(SENTENCES):
        audio = ffmpeg.input(str(clip_path(folder, number))).audio.filter("aresample", RATE)
        if index == 0:
            audio = audio.filter("adelay", f"{BEFORE_S * 1000:.0f}")
        parts.append(audio.filter("apad", pad_dur=pause))
    return ffmpeg.concat(*parts, v=0, a=1)


def picture(seconds: float) -> ffmpeg.nodes.FilterableStream:
    """A dusk-coloured gradient with the title and a running timecode, 640x360, 25 frames a second."""
    sky = ffmpeg.input(
        f"gradients=size=640x360:rate=25:c0=0x1d2b53:c1=0x7e5a83:x0=0:y0=0:x1=0:y1=360:nb_colors=2:speed=0.00001:duration={seconds}",
        format="lavfi",
    )
    serif, mono = str(FONTS / "DejaVuSerif.ttf"), str(FONTS / "DejaVuSansMono.ttf")
    plain = {"fontcolor": "0xf4e9cd", "x": "(w-text_w)/2"}
    return (
        sky.filter("drawtext", text="Sense and Sensibility", fontfile=serif, fontsize=40, y=96, **plain)
        .filter("drawtext", text="Jane Austen · chapter 1", fontfile=serif, fontsize=20, y=158, **plain)
        .filter("drawtext", text="%{pts:hms}", fontfile=mono, fontsize=34, y=248, **plain)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, default=CLIPS)
    parser.add_argument("--out", type=Path, default=SAMPLES)
    options = parser.parse_args()
    lengths = [
        float(ffmpeg.probe(str(clip_path(options.clips, number)))["format"]["duration"]) for number, *_ in SENTENCES
    ]
    seconds = round(BEFORE_S + sum(lengths) + sum(pause for _, pause, _ in SENTENCES), 2)
    options.out.mkdir(parents=True, exist_ok=True)
    film = options.out / f"{NAME}.mp4"
    (
        ffmpeg.output(
            picture(seconds),
            speech(options.clips),
            str(film),
            **{"c:v": "libx264", "c:a": "aac", "b:a": "72k", "metadata:s:a:0": "language=eng"},
            t=seconds,
            pix_fmt="yuv420p",
            profile="high",
            preset="slow",
            crf=26,
            g=50,
            ac=1,
            movflags="+faststart",
            fflags="+bitexact",
            map_metadata=-1,
        )
        .overwrite_output()
        .run(quiet=True)
    )
    transcript = "\n".join(text for *_, text in SENTENCES)
    (options.out / f"{NAME}.txt").write_text(transcript + "\n", encoding="utf-8")
    (options.out / "LICENCE").write_text(LICENCE, encoding="utf-8")
    print(f"{film}: {seconds} s, {film.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
