"""Calls each model of the model plane with nothing but tritonclient and prints its answers.

python benchmarks/protocol_tour.py [ADDRESS] [WAV]      default 127.0.0.1:8101 and the committed clip
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import soundfile
import tritonclient.grpc as triton

CLIP = Path(__file__).parent.parent / "tests" / "data" / "librivox" / "sense_and_sensibility_01_austen_64kb-0870.flac"


def tensor(name: str, values: object, kind: str) -> triton.InferInput:
    """An input tensor of the protocol from a nested list or array."""
    if kind == "BYTES":
        array = np.array([[text.encode() for text in row] for row in values], dtype=np.object_)  # type: ignore[attr-defined]
    else:
        array = np.asarray(values, {"FP32": np.float32, "INT32": np.int32, "INT64": np.int64}[kind])
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array)
    return made


def timed(client: triton.InferenceServerClient, model: str, inputs: list[triton.InferInput]) -> triton.InferResult:
    """The model's answer, and a line with its time."""
    began = time.perf_counter()
    answer = client.infer(model, inputs)
    print(f"\n{model}: {(time.perf_counter() - began) * 1000:.0f} ms")
    return answer


def main() -> None:
    """Walks through server, repository and the four models."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8101"
    audio, rate = soundfile.read(sys.argv[2] if len(sys.argv) > 2 else CLIP, dtype="float32")
    assert rate == 16000, f"16 kHz wanted, the file has {rate} Hz"
    client = triton.InferenceServerClient(address)
    print("live", client.is_server_live(), "ready", client.is_server_ready())
    print(client.get_server_metadata(as_json=True))
    for model in client.get_model_repository_index(as_json=True)["models"]:
        config = client.get_model_config(model["name"], as_json=True)["config"]
        loaded = [entry["name"] for entry in json.loads(config["parameters"]["catalogue"]["string_value"])]
        print(f"  {model['name']:10} {model['state']:12} {', '.join(loaded)}")

    answer = timed(client, "vad", [tensor("AUDIO", audio, "FP32")])
    print("  speech:", [f"{start:.2f}-{end:.2f} s" for start, end in answer.as_numpy("SPEECH")])

    answer = timed(client, "whisper", [tensor("AUDIO", [audio], "FP32")])
    heard = answer.as_numpy("TEXT")[0, 0].decode()
    print(f"  {heard}")
    print(
        "  language:",
        answer.as_numpy("LANGUAGE")[0, 0].decode(),
        f"{answer.as_numpy('LANGUAGE_PROBABILITY')[0, 0]:.3f}",
    )
    words = json.loads(answer.as_numpy("SEGMENTS")[0, 0])[0]["words"]
    print("  words:", " ".join(f"{word['word'].strip()}@{word['start']:.2f}" for word in words))

    inputs = [tensor(name, [[value]], "BYTES") for name, value in (("TEXT", heard), ("SOURCE", "en"), ("TARGET", "es"))]
    answer = timed(client, "opus_mt", [*inputs, tensor("NUM_HYPOTHESES", [[3]], "INT32")])
    for text, score in zip(answer.as_numpy("TRANSLATIONS")[0], answer.as_numpy("SCORES")[0], strict=True):
        print(f"  {score:7.3f} {text.decode()}")

    spoken = [
        tensor("TEXT", [[heard]], "BYTES"),
        tensor("LANGUAGE", [["en"]], "BYTES"),
        tensor("SPEED", [[1.1]], "FP32"),
    ]
    answer = timed(client, "coqui_tts", [*spoken, tensor("SEED", [[7]], "INT64")])
    print(f"  {answer.as_numpy('SECONDS')[0, 0]:.2f} s of speech at {answer.as_numpy('SAMPLE_RATE')[0, 0]} Hz")


if __name__ == "__main__":
    main()
