"""whisper, then align, then diarize, through a real plane and the real gRPC client, with WhisperX's models of random
weights: the whole path but for what the models hear.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from benchmarks.mixed import tensor as wire_tensor
from serve.settings import CHECKOUT
from tests.fixtures_model_plane import start_plane
from tests.serve.conftest import SpokenClip
from tests.serve.whisperx_models import write_aligner, write_diarizer

pytestmark = pytest.mark.soak

ENTRY = """
[[weights]]
name = "{name}"
model = "{model}"
source = "file:{folder}"
languages = {languages}
licence = "CC0-1.0"
licence_chain = ["CC0-1.0: random numbers"]
paid_use = false
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    """A plane whose catalogue has the fixture models beside what the committed one has."""
    root = tmp_path_factory.mktemp("whisperx")
    repository = root / "model_repo"
    repository.mkdir()
    for path in (CHECKOUT / "model_repo").iterdir():
        (repository / path.name).symlink_to(path)
    (repository / "catalogue.toml").unlink()
    entries = [
        ENTRY.format(name="a-en", model="align", folder=write_aligner(root / "en"), languages='["en"]'),
        ENTRY.format(name="d", model="diarize", folder=write_diarizer(root / "pipeline"), languages="[]"),
    ]
    committed = (CHECKOUT / "model_repo" / "catalogue.toml").read_text(encoding="utf-8")
    (repository / "catalogue.toml").write_text(committed + "".join(entries), encoding="utf-8")
    plane = start_plane(
        root / "serve.log",
        OCTAVIA_MODEL_REPO=str(repository),
        OCTAVIA_ALIGN='["a-en"]',
        OCTAVIA_DIARIZE="d",
    )
    with triton.InferenceServerClient(plane.address) as connected:
        yield connected
    plane.stop()


def infer(client: triton.InferenceServerClient, model: str, *inputs: tuple[str, Any, str]) -> dict[str, Any]:
    answer = client.infer(model, [wire_tensor(*each) for each in inputs], client_timeout=300)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


def test_whisper_align_and_diarize_are_chained(
    client: triton.InferenceServerClient, librivox: list[SpokenClip]
) -> None:
    audio = librivox[0].audio
    heard = infer(client, "whisper", ("AUDIO", [audio], "FP32"), ("LANGUAGE", [["en"]], "BYTES"))["SEGMENTS"][0, 0]
    language = ("LANGUAGE", [["en"]], "BYTES")
    segments = [("SEGMENTS", [[heard.decode()]], "BYTES"), language]
    aligned = infer(client, "align", ("AUDIO", [audio], "FP32"), *segments)["SEGMENTS"][0, 0]
    before, after = json.loads(heard), json.loads(aligned)
    assert [segment["text"] for segment in after] == [segment["text"] for segment in before]
    words = [word for segment in after for word in segment["words"]]
    assert [word["word"] for word in words] == [word["word"] for segment in before for word in segment["words"]]
    edges = [edge for word in words for edge in (word["start"], word["end"])]
    assert all(earlier <= later + 1e-3 for earlier, later in pairwise(edges))

    raw = triton.InferInput("SEGMENTS", [1], "BYTES")
    raw.set_data_from_numpy(np.array([aligned], np.object_))
    sound = wire_tensor("AUDIO", audio, "FP32")
    count = wire_tensor("NUM_SPEAKERS", [1], "INT32")
    answer = client.infer("diarize", [sound, count, raw], client_timeout=300)
    assert set(answer.as_numpy("SPEAKERS")) == {b"SPEAKER_00"}
    spoken = json.loads(answer.as_numpy("SEGMENTS")[0])
    assert [segment["text"] for segment in spoken] == [segment["text"] for segment in before]
    assert all(segment["speaker"] == "SPEAKER_00" for segment in spoken)
    print("whisper:", before[0]["words"][:3])
    print("align:", words[:3])
    print("diarize:", answer.as_numpy("TURNS")[:2].tolist(), spoken[0]["words"][:3])


def test_rows_of_several_languages_are_answered_or_refused(
    client: triton.InferenceServerClient, librivox: list[SpokenClip]
) -> None:
    audio = librivox[0].audio[:32_000]
    rows = ("AUDIO", [audio, audio], "FP32"), ("TEXT", [["one row"], ["and another"]], "BYTES")
    answer = infer(client, "align", *rows, ("LANGUAGE", [["en"], ["en-GB"]], "BYTES"))["SEGMENTS"]
    assert [json.loads(value)[0]["text"] for value in answer[:, 0]] == ["one row", "and another"]
    with pytest.raises(InferenceServerException, match="no alignment model for language 'de'; there is en") as refused:
        infer(client, "align", *rows, ("LANGUAGE", [["en"], ["de"]], "BYTES"))
    assert refused.value.status() == "StatusCode.NOT_FOUND"


def test_both_are_ready_and_tell_their_weights(client: triton.InferenceServerClient) -> None:
    assert client.is_server_ready()
    states = {model.name: model.state for model in client.get_model_repository_index().models}
    assert (states["align"], states["diarize"]) == ("READY", "READY")
    parameters = client.get_model_config("align").config.parameters
    (told,) = json.loads(parameters["catalogue"].string_value)
    assert (told["name"], told["language"], told["paid_use"]) == ("a-en", "en", False)
