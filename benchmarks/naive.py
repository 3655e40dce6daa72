"""The script a user would write with the same libraries and weights: the anchor of the end-to-end benchmark.

transcribe -> split into sentences -> translate -> speak sentence by sentence -> concatenate -> mux. No windows, no
batching, no planning. Weights are loaded once and not timed. Reads one JSON object per line from standard input,
{"video": path, "out": folder}, and answers each with its timings and the onsets of its sentences.

    python -m benchmarks.naive WHISPER_DIR MARIAN_DIR VOICE_DIR
"""

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from faster_whisper import WhisperModel
from transformers import MarianMTModel, MarianTokenizer
from TTS.api import TTS

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class NaiveDubber:
    """Whisper, Marian and Coqui as their own documentation shows them."""

    def __init__(self, whisper: str, marian: str, voice: str) -> None:
        self.whisper = WhisperModel(whisper, device="cpu", compute_type="int8")
        self.tokenizer = MarianTokenizer.from_pretrained(marian)
        self.marian: Any = MarianMTModel.from_pretrained(marian)
        self.marian.train(False)
        self.tts = TTS(model_path=f"{voice}/model.pth", config_path=f"{voice}/config.json", progress_bar=False)

    def dub(self, video: str, out: Path) -> dict[str, Any]:
        """Dub a video; seconds per stage, and per sentence its onset in the picture and in the dub."""
        out.mkdir(parents=True, exist_ok=True)
        watch = Stopwatch()
        _ffmpeg("-i", video, "-vn", "-ac", "1", "-ar", "16000", str(out / "audio.wav"))
        watch.lap("extract")
        segments, _ = self.whisper.transcribe(str(out / "audio.wav"))
        heard = list(segments)
        watch.lap("transcribe")
        sentences = [each for each in SENTENCE_END.split(" ".join(part.text.strip() for part in heard)) if each]
        translated = [self._translate(sentence) for sentence in sentences]
        watch.lap("translate")
        onset, onsets = 0.0, []
        for index, sentence in enumerate(translated):
            path = out / f"{index:03d}.wav"
            self.tts.tts_to_file(text=sentence, file_path=str(path))
            onsets.append(onset)
            onset += _seconds(path)
        watch.lap("speak")
        listing = out / "list.txt"
        listing.write_text("".join(f"file '{index:03d}.wav'\n" for index in range(len(translated))))
        _ffmpeg("-f", "concat", "-safe", "0", "-i", str(listing), str(out / "dub.wav"))
        _ffmpeg(
            *("-i", video, "-i", str(out / "dub.wav"), "-map", "0:v", "-map", "1:a"),
            *("-c:v", "copy", "-c:a", "aac", str(out / "naive.mp4")),
        )
        watch.lap("concatenate and mux")
        return {
            "seconds": watch.laps,
            "total": sum(watch.laps.values()),
            "sentences": sentences,
            "onsets": onsets,
            "spoken_seconds": onset,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }

    def _translate(self, sentence: str) -> str:
        with torch.inference_mode():
            output = self.marian.generate(**self.tokenizer(sentence, return_tensors="pt"))
        return str(self.tokenizer.decode(output[0], skip_special_tokens=True))


class Stopwatch:
    """Seconds per stage, each lap from the last."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps[stage] = now - self._last
        self._last = now


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-y", "-nostdin", "-loglevel", "error", *arguments], check=True)


def _seconds(path: Path) -> float:
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # Coqui prints while it speaks
    dubber = NaiveDubber(*sys.argv[1:4])
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(dubber.dub(request["video"], Path(request["out"]))), file=answers, flush=True)


if __name__ == "__main__":
    main()
