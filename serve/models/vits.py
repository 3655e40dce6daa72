"""One Coqui VITS voice, taken apart so that durations are known before anything is spoken.

Coqui's Vits.inference does everything in one go; here its own modules are called in two steps. The durations cost a
tenth of the sound, and the length scale that gives a wanted real speed is solved for each text: durations are rounded
up to whole frames, so speed is no linear function of the length scale.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from TTS.config import load_config
from TTS.tts.models import base_tts
from TTS.tts.models.vits import Vits

Samples = npt.NDArray[np.float32]

SCALES = (0.15, 4.0)
"""Length scales searched for a wanted speed: beyond them a voice is no longer understood."""

Precision = Literal["auto", "float32", "bfloat16"]
"""Of the decoder alone. bfloat16 halves its time where the processor has it and errs by -40 dB; auto takes it there."""
CPU_FLAGS = Path("/proc/cpuinfo")

SOLVE_STEPS = 18
TOKEN_FRAMES_MAX = 400
"""A phoneme longer than 4.6 s is a duration predictor gone astray."""


@dataclass(slots=True)
class Plan:
    """A text's durations: whole frames per token [t], and what the decoder needs to speak it."""

    frames: torch.Tensor
    mean: torch.Tensor
    log_scale: torch.Tensor
    noise: torch.Tensor

    @property
    def total(self) -> int:
        return int(self.noise.shape[-1])


class VitsVoice:
    """A voice read from folder/config.json and folder/model.pth. Not thread-safe: its owner serialises calls."""

    def __init__(self, folder: Path, precision: Precision = "float32") -> None:
        base_tts.AudioProcessor = _no_training_audio
        config = load_config(str(folder / "config.json"))
        if config.model_args.use_speaker_embedding or config.model_args.use_d_vector_file:
            raise ValueError(f"{folder}: voices of several speakers are not supported yet")
        config.model_args.init_discriminator = False
        self._net = Vits(config)
        state = torch.load(folder / "model.pth", map_location="cpu", weights_only=True, mmap=True)
        self._net.load_state_dict(state["model"], strict=False)
        self._prepare()
        self._decoder_type = torch.bfloat16 if _uses_bfloat16(precision) else torch.float32
        self._net.waveform_decoder.to(self._decoder_type)
        self.sample_rate = int(config.audio.sample_rate)
        self.hop = int(np.prod(config.model_args.upsample_rates_decoder))
        self.tokens = lru_cache(maxsize=4096)(self._tokens)
        self.encoded = lru_cache(maxsize=64)(self._encoded)  # asked for its length first, then spoken

    def _prepare(self) -> None:
        """Inference mode, weight norm folded into the weights, training-only parts dropped."""
        net = self._net.eval().requires_grad_(False)
        net.posterior_encoder = torch.nn.Identity()
        for module in (*net.waveform_decoder.modules(), *net.flow.modules()):
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")

    def _tokens(self, text: str) -> tuple[int, ...]:
        """Token ids of a text (phonemes from espeak-ng, which is run with a list of arguments, never a shell)."""
        return tuple(self._net.tokenizer.text_to_ids(text, language=None))

    @torch.inference_mode()
    def plan(self, tokens: tuple[int, ...], speed: float, seed: int) -> Plan:
        """Durations and noise of tokens at a real speed relative to the voice's own: a function of its arguments."""
        mean, log_scale, widths = self.encoded(tokens, seed)
        frames = frames_at_speed(widths, speed)
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, mean.shape[1], int(frames.sum()), generator=generator)
        return Plan(frames, mean, log_scale, noise * self._net.inference_noise_scale)

    @torch.inference_mode()
    def _encoded(self, tokens: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mean and log-scale [1, channels, t] of the latents and the unrounded frames [t] of each token."""
        net = self._net
        torch.manual_seed(seed)  # the duration predictor draws from torch's global generator
        x = torch.tensor([tokens], dtype=torch.long)
        x, mean, log_scale, mask = net.text_encoder(x, torch.tensor([len(tokens)]), lang_emb=None)
        if net.args.use_sdp:
            log_width = net.duration_predictor(x, mask, g=None, reverse=True, noise_scale=net.inference_noise_scale_dp)
        else:
            log_width = net.duration_predictor(x, mask, g=None)
        return mean, log_scale, torch.exp(log_width)[0, 0] * net.length_scale

    @torch.inference_mode()
    def speak(self, plan: Plan) -> Samples:
        """The samples of a plan: exactly plan.total frames of `hop` samples."""
        net = self._net
        mean = torch.repeat_interleave(plan.mean, plan.frames, dim=2)
        log_scale = torch.repeat_interleave(plan.log_scale, plan.frames, dim=2)
        mask = torch.ones(1, 1, plan.total)
        z = net.flow(mean + plan.noise * torch.exp(log_scale), mask, g=None, reverse=True)
        samples: Samples = net.waveform_decoder(z.to(self._decoder_type), g=None)[0, 0].float().numpy()
        return samples


def precision_named(name: str) -> Precision:
    """The precision of that name. Raises ValueError naming what there is."""
    if name not in get_args(Precision):
        raise ValueError(f"decoder_precision is '{name}', expected one of {', '.join(get_args(Precision))}")
    return cast(Precision, name)


def _uses_bfloat16(precision: Precision) -> bool:
    if precision == "auto":
        flags = set(CPU_FLAGS.read_text().split()) if CPU_FLAGS.exists() else set()
        return bool(flags & {"avx512_bf16", "amx_bf16"})
    return precision == "bfloat16"


def _no_training_audio(config: Any) -> None:
    """In place of Coqui's AudioProcessor, which only training needs and which imports librosa and SciPy for 1.5 s."""


def frames_at_speed(widths: torch.Tensor, speed: float) -> torch.Tensor:
    """Whole frames per token [t] whose sum is 1 / speed of the natural sum, as near as one length scale gets.

    `widths` are the predicted durations in frames, real numbers, at the voice's own rate.
    """
    widths = widths.clamp(max=TOKEN_FRAMES_MAX)
    natural = torch.ceil(widths).clamp(min=1).long()
    if speed == 1.0:
        return natural
    wanted = float(natural.sum()) / speed
    low, high = SCALES
    for _ in range(SOLVE_STEPS):
        middle = (low + high) / 2
        if float(torch.ceil(widths * middle).clamp(min=1).sum()) > wanted:
            high = middle
        else:
            low = middle
    return torch.ceil(widths * low).clamp(min=1).long()


def read_facts(folder: Path) -> dict[str, Any]:
    """voice.json beside the weights, as its importer wrote it; {} when there is none."""
    path = folder / "voice.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
