"""Measures how a Coqui VITS voice's length_scale changes the length of its speech.

Not linear: each symbol's duration is rounded up to a whole frame (Coqui's vits.py: w_ceil = ceil(w)), so short symbols
cannot shrink. Only the text encoder and the duration predictor run, once per sentence and seed; the rounding is then
repeated for every length_scale.
"""

import struct
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from serve.weights_errors import ConversionError

FACTORS = (  # of the natural scale
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
    1.1,
    1.2,
    1.3,
    1.4,
    1.6,
    1.8,
    2.0,
    2.5,
    3.0,
    4.0,
)
SEEDS = (0, 1, 2)
UNREADABLE = (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, UnpicklingError, struct.error)
SENTENCES = Path(__file__).with_name("calibration_sentences.toml")


@dataclass(frozen=True, slots=True)
class Calibration:
    """sample_rate in Hz; characters per second and curve (length_scale, duration ratio) as in `Voice`."""

    sample_rate: int
    natural_length_scale: float
    characters_per_second: float
    speed_curve: tuple[tuple[float, float], ...]


def sentences_for(language: str) -> list[str]:
    """Our sentences in a language; ConversionError when there are none."""
    table: dict[str, list[str]] = tomllib.loads(SENTENCES.read_text(encoding="utf-8"))
    sentences = table.get(language) or table.get(language.partition("-")[0])
    if not sentences:
        raise ConversionError(f"no sentences to measure a voice with in {language!r}: add some to {SENTENCES.name}")
    return sentences


def load_vits(folder: Path) -> tuple[Any, Any]:
    """(Coqui's Vits model on the CPU, its VitsConfig); ConversionError when the folder is not a single-speaker one."""
    import torch  # noqa: PLC0415 - seconds to import
    from TTS.config import load_config  # noqa: PLC0415
    from TTS.tts.models.vits import Vits  # noqa: PLC0415

    try:
        config = load_config(str(folder / "config.json"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{folder}: config.json is not a Coqui model's configuration ({error})") from error
    if config.model != "vits":
        raise ConversionError(f"{folder}: a {config.model} model, but only VITS voices can be spoken with")
    args = config.model_args
    if args.use_speaker_embedding or args.use_d_vector_file or args.use_language_embedding:
        raise ConversionError(f"{folder}: a voice of several speakers or languages; only single voices can be used")
    args.init_discriminator = False
    model = Vits(config)
    try:
        state = torch.load(folder / "model.pth", map_location="cpu", weights_only=True)
        missing = model.load_state_dict(
            state["model"], strict=False
        ).missing_keys  # left over: a trainer's discriminator
    except UNREADABLE as error:
        raise ConversionError(f"{folder}: model.pth does not fit its config.json ({error})") from error
    if missing:
        raise ConversionError(f"{folder}: model.pth lacks {missing[0]} and does not fit its config.json")
    return model.eval(), config


def symbol_durations(model: Any, config: Any, sentence: str, seed: int) -> Any:
    """Unrounded frames of each symbol at length_scale 1: a float tensor [symbols]."""
    import torch  # noqa: PLC0415

    ids = model.tokenizer.text_to_ids(sentence, language=config.get("phoneme_language"))
    if not ids:
        raise ConversionError(f"the voice has no symbol for any letter of {sentence!r}")
    text = torch.tensor([ids])
    torch.manual_seed(seed)
    with torch.inference_mode():
        encoded, _, _, mask = model.text_encoder(text, torch.tensor([len(ids)]), lang_emb=None)
        if model.args.use_sdp:
            logs = model.duration_predictor(encoded, mask, reverse=True, noise_scale=model.inference_noise_scale_dp)
        else:
            logs = model.duration_predictor(encoded, mask)
        return (torch.exp(logs) * mask)[0, 0]


def _without_floor(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The curve from the last of the scales on at which every symbol has its single frame and nothing gets shorter."""
    first = max(index for index, (_, ratio) in enumerate(curve) if ratio == curve[0][1])
    return curve[first:]


def calibrate(folder: Path, sentences: Sequence[str]) -> Calibration:
    """Measures the voice in folder (model.pth, config.json) on the sentences.

    Raises ConversionError when it cannot be loaded or its length does not grow with length_scale.
    """
    import torch  # noqa: PLC0415

    model, config = load_vits(folder)
    natural = float(model.length_scale)
    durations = [symbol_durations(model, config, text, seed) for text in sentences for seed in SEEDS]
    frames = {factor: sum(float(torch.ceil(d * natural * factor).sum()) for d in durations) for factor in FACTORS}
    measured = [(round(natural * factor, 4), round(frames[factor] / frames[1.0], 5)) for factor in FACTORS]
    curve = tuple(_without_floor(measured))
    if len(curve) < 2 or any(later <= earlier for (_, earlier), (_, later) in pairwise(curve)):
        raise ConversionError(f"{folder}: the length of speech does not grow with length_scale ({measured})")
    hop = 1
    for rate in model.args.upsample_rates_decoder:
        hop *= int(rate)
    sample_rate = int(config.audio.sample_rate)
    stretched = model.args.encoder_sample_rate if model.args.interpolate_z else None  # frames counted at that rate
    seconds = frames[1.0] * hop / float(stretched or sample_rate)
    characters = sum(len(text) for text in sentences) * len(SEEDS)
    return Calibration(sample_rate, natural, round(characters / seconds, 3), curve)
