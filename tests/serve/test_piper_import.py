"""Importing Piper voices: the real one, voices of every decoder shape, and everything that is not a voice."""

import json
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from serve.calibrate import FACTORS, SENTENCES, calibrate, load_vits, sentences_for
from serve.catalogue import load_catalogue
from serve.convert_piper import (
    Graph,
    convert_piper,
    coqui_name,
    decoder_shape,
    piper_language,
    read_config,
    symbol_order,
)
from serve.settings import CHECKOUT, ServeSettings, get_settings
from serve.sources import fetch
from serve.sources.common import silent
from serve.voices import add_voice, describe_voice, import_piper, read_voice
from serve.weights import ensure
from serve.weights_errors import CatalogueError, ConversionError, VoiceImportError
from tests.standins.hub import File, Hub

CATALOGUE = CHECKOUT / "model_repo" / "catalogue.toml"
LICENCE: dict[str, Any] = {"licence": "CC0-1.0", "licence_chain": ["CC0-1.0: its data", "research only: lessac"]}


@pytest.fixture(scope="module")
def joe() -> Path:
    """The starter voice, imported as users get it (from their cache when it is there)."""
    return ensure(load_catalogue(CATALOGUE).get("en-joe"), get_settings()).folder


@pytest.fixture(scope="module")
def piper_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The real voice's .onnx and .onnx.json."""
    folder = tmp_path_factory.mktemp("piper")
    entry = load_catalogue(CATALOGUE).get("en-joe")
    fetch(entry.sources[0], folder, entry, silent)
    return folder / "en_US-joe-medium.onnx", folder / "en_US-joe-medium.onnx.json"


@pytest.fixture
def changed(piper_files: tuple[Path, Path], tmp_path: Path) -> Any:
    """A copy of the real configuration with changes."""

    def change(**values: object) -> Path:
        table = json.loads(piper_files[1].read_text(encoding="utf-8")) | values
        path = tmp_path / "voice.onnx.json"
        path.write_text(json.dumps({key: value for key, value in table.items() if value is not None}))
        return path

    return change


# ---- the real voice


def test_the_imported_voice_says_what_it_is_and_where_it_comes_from(joe: Path) -> None:
    voice = read_voice(joe)
    assert (voice.name, voice.language, voice.gender, voice.sample_rate) == ("en-joe", "en", "male", 22050)
    assert not voice.paid_use
    assert any("lessac" in link for link in voice.licence_chain)


def test_its_speed_curve_is_measured_rises_and_is_not_linear(joe: Path) -> None:
    voice = read_voice(joe)
    curve = dict(voice.speed_curve)
    assert len(curve) >= 8
    assert all(a < b for a, b in pairwise(ratio for _, ratio in voice.speed_curve))
    assert curve[voice.natural_length_scale] == 1.0
    # Rounding every symbol up to a whole frame keeps fast speech far longer than length_scale says.
    assert 0.55 < curve[0.4] < 0.7
    assert 0.80 < curve[0.8] < 0.95
    assert 1.1 < curve[1.3] < 1.25
    assert 8 < voice.characters_per_second < 25


def test_the_curve_predicts_the_length_of_real_synthesis(joe: Path) -> None:
    torch.set_num_threads(1)
    model, config = load_vits(joe)
    sentences = ["The museum is closed on Mondays, but the garden is open.", "Nobody knew where the letter came from."]
    lengths = {}
    for scale in (0.7, 1.0):
        model.length_scale = scale
        lengths[scale] = 0
        for text in sentences:
            torch.manual_seed(5)
            ids = torch.tensor([model.tokenizer.text_to_ids(text, language=config.phoneme_language)])
            lengths[scale] += model.inference(ids)["model_outputs"].shape[-1]
    curve = dict(read_voice(joe).speed_curve)
    assert lengths[0.7] / lengths[1.0] == pytest.approx(curve[0.7], rel=0.06)


def test_every_weight_of_the_voice_is_in_the_checkpoint(piper_files: tuple[Path, Path], joe: Path) -> None:
    graph = Graph(piper_files[0])
    state = torch.load(joe / "model.pth", weights_only=True)["model"]
    assert len(graph.weights) == 350
    for name in ("enc_p.proj.weight", "dec.conv_post.weight", "flow.flows.4.post.bias", "dp.flows.7.pre.bias"):
        assert np.array_equal(state[coqui_name(name)].numpy(), graph.weights[name])
    model, _ = load_vits(joe)
    folded = dict(model.named_modules())["waveform_decoder.ups.0"].weight.detach().numpy()
    assert np.allclose(folded, graph.weights["dec.ups.0.weight"], atol=1e-6)


def test_the_import_is_repeatable(piper_files: tuple[Path, Path], joe: Path, tmp_path: Path) -> None:
    convert_piper(*piper_files, tmp_path)
    one, two = (torch.load(folder / "model.pth", weights_only=True)["model"] for folder in (joe, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


# ---- a voice of one's own


def test_an_own_voice_is_imported_by_the_command_and_lands_in_the_users_catalogue(
    piper_files: tuple[Path, Path], tmp_path: Path
) -> None:
    arguments = ["import-piper", str(piper_files[0]), "--name", "my-voice", "--licence", "CC0-1.0"]
    arguments += ["--chain", 'CC0-1.0: "my" data', "--chain", "research only: lessac", "--gender", "male"]
    done = subprocess.run(
        [sys.executable, "-m", "serve.weights", *arguments],
        cwd=CHECKOUT,
        env={"OCTAVIA_WEIGHTS_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    entry = load_catalogue(CATALOGUE, tmp_path / "catalogue.local.toml").get("my-voice")
    assert (entry.language, entry.licence_chain[0], entry.paid_use) == ("en", 'CC0-1.0: "my" data', False)
    assert entry.sets == ("starter", "standard")
    weights = ensure(entry, ServeSettings(weights_dir=tmp_path))
    assert weights.folder == tmp_path / "imported" / "my-voice"
    assert read_voice(weights.folder).name == "my-voice"
    with pytest.raises(CatalogueError, match="weights named 'my-voice' already"):
        add_voice(piper_files[0], None, weights_dir=tmp_path, catalogue=CATALOGUE, name="my-voice", **LICENCE)


@pytest.mark.parametrize("name", ["../evil", "Name With Spaces", ""])
def test_a_name_that_is_no_name_is_refused_and_leaves_nothing(
    piper_files: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    root = tmp_path / "weights"
    with pytest.raises(CatalogueError, match="name"):
        add_voice(piper_files[0], None, weights_dir=root, catalogue=CATALOGUE, name=name, **LICENCE)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_failed_import_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a voice")
    root = tmp_path / "weights"
    with pytest.raises(VoiceImportError):
        add_voice(bad, None, weights_dir=root, catalogue=CATALOGUE, name="bad", language="en", **LICENCE)
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_voice_without_a_chain_is_refused(piper_files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(VoiceImportError, match="licence of everything"):
        import_piper(*piper_files, tmp_path, name="x", language="en", licence="CC0-1.0", licence_chain=[])


# ---- what is no voice


def test_bytes_that_are_no_onnx_are_refused(piper_files: tuple[Path, Path], tmp_path: Path) -> None:
    for content in (b"", b"\x00" * 1000, b"PK\x03\x04 zip", piper_files[0].read_bytes()[:1_000_000]):
        path = tmp_path / "v.onnx"
        path.write_bytes(content)
        with pytest.raises(VoiceImportError):
            import_piper(path, piper_files[1], tmp_path / "out", name="x", language="en", **LICENCE)


def test_a_missing_file_is_named(piper_files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(VoiceImportError, match=r"gone\.onnx does not exist"):
        import_piper(tmp_path / "gone.onnx", piper_files[1], tmp_path, name="x", language="en", **LICENCE)
    with pytest.raises(VoiceImportError, match=r"gone\.json does not exist; every Piper voice has"):
        import_piper(piper_files[0], tmp_path / "gone.json", tmp_path, name="x", language="en", **LICENCE)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"num_speakers": 904}, "a voice of 904 speakers"),
        ({"phoneme_type": "text"}, "phonemes of type 'text'"),
        ({"phoneme_id_map": None}, "'phoneme_id_map'"),
        ({"phoneme_id_map": {"a": [3]}}, r"lacks _ \^ \$"),
        ({"phoneme_id_map": {"_": []}}, "malformed"),
        ({"audio": {}}, "sample_rate"),
        ({"audio": {"sample_rate": "fast"}}, "malformed"),
        ({"espeak": None}, "espeak"),
    ],
)
def test_a_configuration_of_something_else_is_refused(changed: Any, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(VoiceImportError, match=complaint):
        read_config(changed(**values))


@pytest.mark.parametrize("content", ["", "{", "[1]", "\ufffe"])
def test_a_configuration_that_is_no_json_object_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(VoiceImportError):
        read_config(path)


def test_the_configuration_of_another_voice_is_noticed(
    piper_files: tuple[Path, Path], changed: Any, tmp_path: Path
) -> None:
    table = json.loads(piper_files[1].read_text())["phoneme_id_map"]
    config = changed(phoneme_id_map=table | {"ꜛ": [900]})
    with pytest.raises(VoiceImportError, match="not a pair"):
        import_piper(piper_files[0], config, tmp_path / "out", name="x", language="en", **LICENCE)


def test_a_voice_that_lost_a_weight_is_refused_by_its_name(piper_files: tuple[Path, Path], tmp_path: Path) -> None:
    model = onnx.load(str(piper_files[0]))
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "enc_p.proj.bias"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, str(tmp_path / "v.onnx"))
    with pytest.raises(VoiceImportError, match=r"text_encoder\.proj\.bias is missing"):
        import_piper(tmp_path / "v.onnx", piper_files[1], tmp_path / "out", name="x", language="en", **LICENCE)


def test_several_speakers_in_the_graph_are_refused_whatever_the_configuration_says(
    piper_files: tuple[Path, Path], tmp_path: Path
) -> None:
    model = onnx.load(str(piper_files[0]))
    model.graph.input.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    onnx.save(model, str(tmp_path / "v.onnx"))
    with pytest.raises(VoiceImportError, match="several speakers"):
        import_piper(tmp_path / "v.onnx", piper_files[1], tmp_path / "out", name="x", language="en", **LICENCE)


def test_an_onnx_of_another_kind_is_refused(piper_files: tuple[Path, Path], tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", values[:1], values[1:])), str(tmp_path / "v.onnx"))
    with pytest.raises(VoiceImportError, match="not a Piper VITS voice"):
        import_piper(tmp_path / "v.onnx", piper_files[1], tmp_path / "out", name="x", language="en", **LICENCE)


# ---- shapes other than medium


def decoder_graph(kind: str, rates: list[int], kernels: list[int], dilations: list[list[int]], path: Path) -> None:
    """An ONNX file with nothing but a HiFi-GAN decoder's convolutions, named and folded as Piper's export does."""
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []

    def add(op: str, name: str, shape: list[int], **attributes: Any) -> None:
        folded = f"onnx::Conv_{len(tensors)}"
        tensors.append(numpy_helper.from_array(np.zeros(shape, np.float32), folded))
        tensors.append(numpy_helper.from_array(np.zeros(shape[0], np.float32), f"{name}.bias"))
        nodes.append(helper.make_node(op, ["x", folded, f"{name}.bias"], [f"y{len(nodes)}"], **attributes))

    add("Conv", "dec.conv_pre", [64, 8, 7], dilations=[1])
    for stage, rate in enumerate(rates):
        add("ConvTranspose", f"dec.ups.{stage}", [64 >> stage, 32 >> stage, 2 * rate], strides=[rate])
        for block, (kernel, steps) in enumerate(zip(kernels, dilations, strict=True)):
            for layer, step in enumerate(steps):
                for inner in ("convs1", "convs2") if kind == "1" else ("convs",):
                    name = f"dec.resblocks.{stage * len(kernels) + block}.{inner}.{layer}"
                    add("Conv", name, [8, 8, kernel], dilations=[step if inner != "convs2" else 1])
    graph = helper.make_graph(nodes, "g", [], [], tensors)
    onnx.save(helper.make_model(graph), str(path))


@pytest.mark.parametrize(
    ("kind", "rates", "kernels", "dilations"),
    [
        ("2", [8, 8, 4], [3, 5, 7], [[1, 2], [2, 6], [3, 12]]),  # Piper's x_low, low and medium
        ("1", [8, 8, 2, 2], [3, 7, 11], [[1, 3, 5], [1, 3, 5], [1, 3, 5]]),  # Piper's high
    ],
)
def test_the_decoders_shape_is_read_from_the_weights(
    tmp_path: Path, kind: str, rates: list[int], kernels: list[int], dilations: list[list[int]]
) -> None:
    decoder_graph(kind, rates, kernels, dilations, tmp_path / "v.onnx")
    shape = decoder_shape(Graph(tmp_path / "v.onnx"))
    assert shape == {
        "resblock_type_decoder": kind,
        "resblock_kernel_sizes_decoder": kernels,
        "resblock_dilation_sizes_decoder": dilations,
        "upsample_rates_decoder": rates,
        "upsample_kernel_sizes_decoder": [2 * rate for rate in rates],
        "upsample_initial_channel_decoder": 64,
    }


@pytest.mark.parametrize(
    ("vits", "coqui"),
    [
        ("enc_p.emb.weight", "text_encoder.emb.weight"),
        ("dec.ups.0.bias", "waveform_decoder.ups.0.bias"),
        ("flow.flows.6.enc.in_layers.1.bias", "flow.flows.3.enc.in_layers.1.bias"),
        ("dp.flows.0.m", "duration_predictor.flows.0.translation"),
        ("dp.flows.0.logs", "duration_predictor.flows.0.log_scale"),
        ("dp.flows.3.pre.weight", "duration_predictor.flows.2.pre.weight"),
        ("dp.flows.7.proj.bias", "duration_predictor.flows.4.proj.bias"),
        ("dp.convs.norms_1.2.gamma", "duration_predictor.convs.norms_1.2.gamma"),
    ],
)
def test_weights_get_coquis_names(vits: str, coqui: str) -> None:
    assert coqui_name(vits) == coqui


def test_symbols_are_reordered_as_coqui_orders_them() -> None:
    order, characters, punctuation = symbol_order({"_": 0, "^": 1, "$": 2, " ": 3, "!": 4, "a": 14, "ʃ": 96})
    assert (characters, punctuation) == ("aʃ", " !")
    assert order == [0, 2, 1, 0, 14, 96, 3, 4]


@pytest.mark.parametrize(
    ("table", "language"),
    [
        ({"language": {"code": "en_US", "family": "en"}}, "en"),
        ({"language": {"code": "pt_BR"}}, "pt"),
        ({"espeak": {"voice": "de"}}, "de"),
    ],
)
def test_a_voices_language_is_read_from_its_configuration(tmp_path: Path, table: dict[str, Any], language: str) -> None:
    (tmp_path / "v.json").write_text(json.dumps(table))
    assert piper_language(tmp_path / "v.json") == language


def test_a_voice_that_does_not_say_its_language_must_be_told(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text("{}")
    with pytest.raises(VoiceImportError, match="--language"):
        piper_language(tmp_path / "v.json")


# ---- measuring any Coqui VITS voice


def test_a_coqui_folder_is_measured_the_same_way(joe: Path, tmp_path: Path) -> None:
    for name in ("model.pth", "config.json"):
        (tmp_path / name).symlink_to(joe / name)
    voice = describe_voice(tmp_path, name="own", language="en", gender="unknown", sentences=["A short one."], **LICENCE)
    scales, ratios = zip(*voice.speed_curve, strict=True)
    assert scales == FACTORS[FACTORS.index(0.2) :], "at 0.15 this voice is no faster than at 0.2"
    assert list(ratios) == sorted({*ratios})
    assert read_voice(tmp_path) == voice


def test_a_voice_of_coquis_own_list_is_downloaded_past_a_cut_unpacked_and_measured(
    joe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "voice.zip", "w") as archive:
        archive.write(joe / "model.pth", "tts_models--en--ljspeech--vits/model_file.pth")
        archive.write(joe / "config.json", "tts_models--en--ljspeech--vits/config.json")
    path = "/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--ljspeech--vits.zip"
    with Hub() as hub:
        hub.files[path] = File((tmp_path / "voice.zip").read_bytes(), cuts=[30_000_000])
        monkeypatch.setenv("OCTAVIA_COQUI_MIRROR", hub.url)
        get_settings.cache_clear()
        weights = ensure(load_catalogue(CATALOGUE).get("en-ljspeech"), ServeSettings(weights_dir=tmp_path / "root"))
        assert hub.ranges(".zip") == [None, "bytes=30000000-"]
    get_settings.cache_clear()
    voice = read_voice(weights.folder)
    assert (voice.name, voice.gender, voice.paid_use) == ("en-ljspeech", "female", True)
    assert dict(voice.speed_curve)[voice.natural_length_scale] == 1.0


def test_a_folder_that_is_no_vits_voice_is_refused(joe: Path, tmp_path: Path) -> None:
    config = json.loads((joe / "config.json").read_text())
    for change, complaint in (
        ({"model": "glow_tts"}, "only VITS voices"),
        ({"model_args": config["model_args"] | {"use_speaker_embedding": True}}, "several speakers"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(ConversionError, match=complaint):
            calibrate(tmp_path, ["Hello."])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConversionError, match=r"config\.json is not"):
        calibrate(tmp_path, ["Hello."])
    (tmp_path / "config.json").write_text(json.dumps(config))
    for content in (b"", b"junk"):
        (tmp_path / "model.pth").write_bytes(content)
        with pytest.raises(ConversionError, match=r"model\.pth"):
            calibrate(tmp_path, ["Hello."])
    with zipfile.ZipFile(tmp_path / "model.pth", "w") as archive:
        archive.writestr("nothing", "")
    with pytest.raises(ConversionError, match=r"model\.pth"):
        calibrate(tmp_path, ["Hello."])


def test_a_voice_json_that_is_none_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(VoiceImportError, match="is not a voice"):
        read_voice(tmp_path)
    (tmp_path / "voice.json").write_text('{"name": "x"}')
    with pytest.raises(VoiceImportError, match="import it again"):
        read_voice(tmp_path)


def test_every_voice_of_the_catalogue_has_sentences_to_be_measured_with() -> None:
    entries = load_catalogue(CATALOGUE).entries
    voices = [entry for entry in entries if entry.model == "coqui_tts" and not entry.converter]
    assert all(len(sentences_for(entry.language)) >= 2 for entry in voices)
    assert sentences_for("pt-BR") == sentences_for("pt")
    with pytest.raises(ConversionError, match=SENTENCES.name):
        sentences_for("tlh")
