"""Speech to speech in one call of the ensemble against three calls of its models, with the same rows: time of both.

python -m benchmarks.ensemble [ADDRESS] [ROUNDS]      default 127.0.0.1:8101, 5 rounds

Both ways are taken in turn, once to warm up and then ROUNDS times, for one window and for eight in one request; the
medians are printed. Both must give the same text, word times and samples.
"""

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

CLIPS = Path(__file__).parent.parent / "tests" / "data" / "librivox"
TARGET = b"es"

Array = npt.NDArray[Any]


def rows(count: int) -> tuple[Array, Array]:
    """`count` windows of the committed clips, cut differently so that none is like another, and their lengths."""
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(CLIPS.glob("*.flac"))]
    windows = [clips[i % len(clips)][i // len(clips) * 1600 :] for i in range(count)]
    padded = np.zeros((count, max(map(len, windows))), np.float32)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window)] = window
    return padded, np.array([[len(window)] for window in windows], np.int32)


def infer(client: triton.InferenceServerClient, model: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Every output by name."""
    inputs = []
    for name, array in tensors.items():
        inputs.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    answer = client.infer(model, inputs)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def one_call(client: triton.InferenceServerClient, audio: Array, samples: Array) -> dict[str, Array]:
    """The ensemble."""
    target = np.full((len(audio), 1), TARGET, np.object_)
    return infer(client, "speech_to_speech", {"WINDOW": audio, "WINDOW_SAMPLES": samples, "TARGET": target})


def three_calls(client: triton.InferenceServerClient, audio: Array, samples: Array) -> dict[str, Array]:
    """Its models one after the other, each with all rows."""
    target = np.full((len(audio), 1), TARGET, np.object_)
    heard = infer(client, "whisper", {"AUDIO": audio, "NUM_SAMPLES": samples})
    text = {"TEXT": heard["TEXT"], "SOURCE": heard["LANGUAGE"], "TARGET": target}
    translated = infer(client, "opus_mt", text)["TRANSLATIONS"]
    spoken = infer(client, "coqui_tts", {"TEXT": translated, "LANGUAGE": target})
    return {"TRANSCRIPT": heard["TEXT"], "SEGMENTS": heard["SEGMENTS"], "TRANSLATION": translated, **spoken}


def differences(one: Mapping[str, Array], three: Mapping[str, Array]) -> list[str]:
    """Names of the outputs that are not the same."""
    names = ("TRANSCRIPT", "TRANSLATION", "NUM_SAMPLES", "SAMPLE_RATE", "AUDIO")
    different = [name for name in names if not np.array_equal(one[name], three[name])]
    return different + (["SEGMENTS"] if words(one["SEGMENTS"]) != words(three["SEGMENTS"]) else [])


def words(segments: Array) -> list[list[tuple[str, float, float]]]:
    """Each row's words with their times."""
    return [
        [(word["word"], word["start"], word["end"]) for segment in json.loads(row) for word in segment["words"]]
        for row in segments[:, 0]
    ]


def measured(client: triton.InferenceServerClient, count: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each call of the ensemble and of each three calls, taken in turn. SystemExit where they disagree."""
    audio, samples = rows(count)
    times: dict[Any, list[float]] = {one_call: [], three_calls: []}
    for turn in range(rounds + 1):
        answers = {}
        for way in (one_call, three_calls) if turn % 2 else (three_calls, one_call):
            began = time.perf_counter()
            answers[way] = way(client, audio, samples)
            if turn:
                times[way].append(time.perf_counter() - began)
        if different := differences(answers[one_call], answers[three_calls]):
            sys.exit(f"{count} rows: one call and three calls differ in {', '.join(different)}")
    return times[one_call], times[three_calls]


def main(arguments: Sequence[str]) -> None:
    """Prints a line for one row and one for eight."""
    address = arguments[0] if arguments else "127.0.0.1:8101"
    rounds = int(arguments[1]) if len(arguments) > 1 else 5
    with triton.InferenceServerClient(address) as client:
        for count in (1, 8):
            one, three = (statistics.median(times) for times in measured(client, count, rounds))
            print(
                f"{count} row{'s' if count > 1 else ''}: one call {one:.2f} s, three calls {three:.2f} s, "
                f"{three / one:.2f} times; the same text, word times and samples ({rounds} rounds, medians)",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
