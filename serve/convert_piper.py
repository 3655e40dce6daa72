"""Piper voices (VITS exported to ONNX) as Coqui VITS checkpoints.

Piper's export keeps every weight inference needs under its original VITS name, except where weight norm was folded:
those are found again by their bias. It drops the posterior encoder (training and cloning only) and one flow of the
duration predictor that inference never uses; both keep Coqui's initial values. The decoder's shape (Piper's x_low, low,
medium and high differ) is read from the weights and the graph, not from the file's name.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from serve.weights_errors import VoiceImportError

PUNCTUATION = " !'(),-.:;?\"#"
PARTS = ("enc_p", "dec", "flow", "dp")
NEVER_EXPORTED = ("posterior_encoder.", "duration_predictor.flows.1.", "duration_predictor.post_")
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class PiperConfig:
    """What matters of VOICE.onnx.json."""

    sample_rate: int
    espeak_voice: str
    noise_scale: float
    length_scale: float
    noise_w: float
    symbols: dict[str, int]  # phoneme -> id


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; VoiceImportError otherwise."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise VoiceImportError(f"{path} does not exist; every Piper voice has its VOICE.onnx.json beside it") from error
    except (OSError, ValueError) as error:
        raise VoiceImportError(f"{path} is not JSON; give the voice's own .onnx.json") from error
    if not isinstance(table, dict):
        raise VoiceImportError(f"{path} is not a Piper voice's configuration")
    return table


def piper_language(path: Path) -> str:
    """The BCP 47 language of a Piper configuration: en_US becomes en."""
    table = read_json(path)
    language = table.get("language") or {}
    code = language.get("family") or language.get("code") or table.get("espeak", {}).get("voice") or ""
    code = code.replace("_", "-").partition("-")[0].lower()
    if not code:
        raise VoiceImportError(f"{path} does not say the voice's language; give it (--language)")
    return str(code)


def read_config(path: Path) -> PiperConfig:
    """VOICE.onnx.json, checked; VoiceImportError says what is wrong with it."""
    table = read_json(path)
    if int(table.get("num_speakers", 1) or 1) > 1:
        raise VoiceImportError(
            f"{path}: a voice of {table['num_speakers']} speakers; only single-speaker voices can be imported"
        )
    if table.get("phoneme_type", "espeak") != "espeak":
        raise VoiceImportError(f"{path}: phonemes of type {table['phoneme_type']!r}; only espeak's can be imported")
    try:
        inference = table.get("inference", {})
        symbols = {symbol: int(ids[0]) for symbol, ids in table["phoneme_id_map"].items()}
        config = PiperConfig(
            sample_rate=int(table["audio"]["sample_rate"]),
            espeak_voice=str(table["espeak"]["voice"]),
            noise_scale=float(inference.get("noise_scale", 0.667)),
            length_scale=float(inference.get("length_scale", 1.0)),
            noise_w=float(inference.get("noise_w", 0.8)),
            symbols=symbols,
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise VoiceImportError(
            f"{path} is not a Piper voice's configuration: {error!r} is missing or malformed"
        ) from error
    missing = [symbol for symbol in "_^$" if symbol not in config.symbols]
    if missing:
        raise VoiceImportError(f"{path}: phoneme_id_map lacks {' '.join(missing)}")
    return config


class Graph:
    """An ONNX graph's weights under their VITS names, and its convolutions' attributes."""

    def __init__(self, path: Path) -> None:
        try:
            model = onnx.load(str(path))
        except FileNotFoundError as error:
            raise VoiceImportError(f"{path} does not exist") from error
        except Exception as error:  # protobuf's DecodeError has no public common base
            if type(error).__name__ != "DecodeError" and not isinstance(error, OSError):
                raise
            raise VoiceImportError(f"{path} is not an ONNX file, or is cut off; download it again") from error
        graph = model.graph
        if any(item.name in {"sid", "speaker_ids"} for item in graph.input):
            raise VoiceImportError(f"{path}: a voice of several speakers; only single-speaker voices can be imported")
        constants = {
            node.output[0]: numpy_helper.to_array(attribute.t)
            for node in graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        self.path = path
        self.nodes = list(graph.node)
        self.values = constants | {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.weights = {
            name: value for name, value in self.values.items() if name.split(".")[0] in PARTS and "/" not in name
        }
        self.attributes: dict[str, dict[str, list[int]]] = {}  # convolution -> dilations, strides
        self._name_folded()

    def _name_folded(self) -> None:
        """Weights that lost their names to constant folding, found by the names that are left around them."""
        for node in self.nodes:
            inputs = list(node.input)
            if node.op_type in {"Conv", "ConvTranspose"} and len(inputs) > 1:
                named = inputs[2].removesuffix(".bias") if len(inputs) > 2 else inputs[1].removesuffix(".weight")
                if named.split(".")[0] in PARTS and inputs[1] in self.values:
                    self.weights[f"{named}.weight"] = self.values[inputs[1]]
                    self.attributes[named] = {item.name: list(item.ints) for item in node.attribute if item.ints}
            elif node.op_type == "Gather" and inputs[1] == "input" and inputs[0] in self.values:
                self.weights["enc_p.emb.weight"] = self.values[inputs[0]]
        if "dp.flows.0.logs" not in self.weights and "dp.flows.0.m" in self.weights:
            self.weights["dp.flows.0.logs"] = -np.log(self._affine_scale())

    def _affine_scale(self) -> Array:
        """exp(-logs) of the duration predictor's affine flow: what follows the subtraction of its mean."""
        for node in self.nodes:
            if node.op_type == "Sub" and "dp.flows.0.m" in node.input:
                for after in self.nodes:
                    if after.op_type == "Mul" and node.output[0] in after.input:
                        for name in after.input:
                            if name in self.values:
                                return self.values[name]
        raise VoiceImportError(f"{self.path}: the duration predictor's scale was not found; not a Piper VITS voice")

    def count(self, pattern: str) -> int:
        """How many numbered modules there are: count("dec.ups.{}") looks for dec.ups.0., dec.ups.1., …"""
        number = 0
        while any(name.startswith(pattern.format(number) + ".") for name in self.weights):
            number += 1
        return number

    def shape(self, name: str) -> tuple[int, ...]:
        """A weight's shape; VoiceImportError when there is none of that name."""
        if name not in self.weights:
            raise VoiceImportError(
                f"{self.path}: the weight {name} is missing; not a Piper VITS voice, or a damaged one"
            )
        return self.weights[name].shape


def decoder_shape(graph: Graph) -> dict[str, Any]:
    """HiFi-GAN's arguments as VitsArgs names them."""
    ups = graph.count("dec.ups.{}")
    if not ups:
        raise VoiceImportError(f"{graph.path}: no decoder (dec.ups) in it; not a Piper VITS voice")
    per_stage = graph.count("dec.resblocks.{}") // ups
    first = any(name.startswith("dec.resblocks.0.convs1.") for name in graph.weights)
    inner = "convs1" if first else "convs"
    kernels, dilations = [], []
    for block in range(per_stage):
        prefix = f"dec.resblocks.{block}.{inner}"
        kernels.append(graph.shape(f"{prefix}.0.weight")[2])
        layers = graph.count(f"dec.resblocks.{block}.{inner}." + "{}")
        dilations.append([graph.attributes[f"{prefix}.{layer}"]["dilations"][0] for layer in range(layers)])
    return {
        "resblock_type_decoder": "1" if first else "2",
        "resblock_kernel_sizes_decoder": kernels,
        "resblock_dilation_sizes_decoder": dilations,
        "upsample_rates_decoder": [graph.attributes[f"dec.ups.{stage}"]["strides"][0] for stage in range(ups)],
        "upsample_kernel_sizes_decoder": [graph.shape(f"dec.ups.{stage}.weight")[2] for stage in range(ups)],
        "upsample_initial_channel_decoder": graph.shape("dec.conv_pre.weight")[0],
    }


def encoder_shape(graph: Graph) -> dict[str, Any]:
    """The text encoder's and flow's arguments as VitsArgs names them."""
    hidden = graph.shape("enc_p.emb.weight")[1]
    filters, _, kernel = graph.shape("enc_p.encoder.ffn_layers.0.conv_1.weight")
    return {
        "hidden_channels": hidden,
        "hidden_channels_ffn_text_encoder": filters,
        "kernel_size_text_encoder": kernel,
        "num_heads_text_encoder": hidden // graph.shape("enc_p.encoder.attn_layers.0.emb_rel_k")[2],
        "num_layers_text_encoder": graph.count("enc_p.encoder.attn_layers.{}"),
        "num_layers_flow": graph.count("flow.flows.0.enc.in_layers.{}"),
        "kernel_size_flow": graph.shape("flow.flows.0.enc.in_layers.0.weight")[2],
        "use_sdp": "dp.flows.0.m" in graph.weights,
    }


def coqui_name(name: str) -> str:
    """A VITS weight's name in Coqui's model. Coqui has no Flip modules, so its flows are numbered closer."""
    part, *rest = name.split(".")
    if part == "flow":
        rest[1] = str(int(rest[1]) // 2)
    if part == "dp" and rest[0] == "flows":
        number = int(rest[1])
        rest[1] = str((number + 1) // 2)
        if number == 0:
            rest[2] = {"m": "translation", "logs": "log_scale"}.get(rest[2], rest[2])
    new = {"enc_p": "text_encoder", "dec": "waveform_decoder", "flow": "flow", "dp": "duration_predictor"}[part]
    return ".".join([new, *rest])


def symbol_order(symbols: dict[str, int]) -> tuple[list[int], str, str]:
    """(ids in Coqui's order, its characters, its punctuations).

    Coqui orders its symbols pad, eos, bos, blank, characters, punctuations. Piper's ^ _ p _ p _ $ is what add_blank and
    enable_eos_bos_chars make of phonemes, with its pad as the blank.
    """
    singles = [symbol for symbol in symbols if len(symbol) == 1]
    punctuation = [symbol for symbol in singles if symbol in PUNCTUATION]
    characters = [symbol for symbol in singles if symbol not in PUNCTUATION and symbol not in "_^$"]
    order = [symbols["_"], symbols["$"], symbols["^"], symbols["_"]]
    order += [symbols[symbol] for symbol in characters + punctuation]
    return order, "".join(characters), "".join(punctuation)


def coqui_config(piper: PiperConfig, graph: Graph) -> tuple[Any, list[int]]:
    """(VitsConfig of the same model, the order of Piper's embedding rows in it)."""
    from TTS.config.shared_configs import BaseAudioConfig  # noqa: PLC0415 - seconds to import
    from TTS.tts.configs.shared_configs import CharactersConfig  # noqa: PLC0415
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig  # noqa: PLC0415

    order, characters, punctuation = symbol_order(piper.symbols)
    config = VitsConfig(
        run_name="piper",
        use_phonemes=True,
        phonemizer="espeak",
        phoneme_language=piper.espeak_voice,
        text_cleaner="no_cleaners",
        add_blank=True,
        enable_eos_bos_chars=True,
        compute_input_seq_cache=False,
        characters=CharactersConfig(
            characters_class="TTS.tts.utils.text.characters.IPAPhonemes",
            pad="_",
            eos="$",
            bos="^",
            blank="<BLNK>",
            characters=characters,
            punctuations=punctuation,
            is_unique=False,
            is_sorted=False,
        ),
        audio=BaseAudioConfig(sample_rate=piper.sample_rate),
        model_args=VitsArgs(
            num_chars=len(order),
            init_discriminator=False,
            inference_noise_scale=piper.noise_scale,
            length_scale=piper.length_scale,
            inference_noise_scale_dp=piper.noise_w,
            **decoder_shape(graph),
            **encoder_shape(graph),
        ),
    )
    return config, order


def plain_parameters(model: torch.nn.Module) -> dict[str, tuple[torch.nn.Module, str]]:
    """Where each parameter is set, weight norm seen through: 'a.b.weight' -> (module, 'weight')."""
    places = {}
    for path, module in model.named_modules():
        if "parametrizations" in path:
            continue
        names = [name for name, _ in module.named_parameters(recurse=False)]
        names += list(getattr(module, "parametrizations", {}))
        for name in names:
            places[f"{path}.{name}"] = (module, name)
    return places


def fill(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: Path) -> None:
    """Sets the model's parameters; VoiceImportError for one that is missing, left over or of another shape."""
    places = plain_parameters(model)
    missing = [name for name in places if name not in weights and not name.startswith(NEVER_EXPORTED)]
    unknown = [name for name in weights if name not in places]
    if missing or unknown:
        name, what = (missing[0], "missing") if missing else (unknown[0], "unknown to VITS")
        raise VoiceImportError(f"{path}: the weight {name} is {what}; not a Piper VITS voice, or a damaged one")
    for name, value in weights.items():
        module, attribute = places[name]
        current = getattr(module, attribute)
        if current.shape != value.shape:
            raise VoiceImportError(f"{path}: {name} has the shape {list(value.shape)}, expected {list(current.shape)}")
        if attribute in getattr(module, "parametrizations", {}):
            setattr(module, attribute, value)
        else:
            current.data.copy_(value)


def convert_piper(onnx_path: Path, config_path: Path, dest: Path) -> None:
    """Writes model.pth and config.json of the same voice for Coqui into dest.

    Raises VoiceImportError for several speakers, files that are no Piper voice, or missing weights.
    """
    piper = read_config(config_path)
    graph = Graph(onnx_path)
    config, order = coqui_config(piper, graph)
    rows = graph.shape("enc_p.emb.weight")[0]
    if max(order) >= rows:
        raise VoiceImportError(f"{config_path} names symbol {max(order)}, but {onnx_path.name} has {rows}: not a pair")
    from TTS.tts.models.vits import Vits  # noqa: PLC0415 - seconds to import

    torch.manual_seed(0)
    model = Vits(config)
    weights = {coqui_name(name): torch.from_numpy(value.copy()) for name, value in graph.weights.items()}
    weights["text_encoder.emb.weight"] = weights["text_encoder.emb.weight"][order]
    fill(model, weights, onnx_path)
    torch.save({"model": model.eval().state_dict()}, dest / "model.pth")
    config.save_json(str(dest / "config.json"))
