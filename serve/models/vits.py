"""One Coqui VITS voice, taken apart so that durations are known before anything is spoken.

Coqui's Vits.inference does everything in one go; here its own modules are called in two steps. The durations cost a
tenth of the sound, and the length scale that gives a wanted real speed is solved for each text: durations are rounded
up to whole frames, so speed is no linear function of the length scale.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import soxr
import torch
from TTS.tts.models import base_tts
from TTS.tts.models.vits import Vits

from serve.errors import not_found
from serve.models.base import base_language
from serve.models.voice import Clip, Manner, Recent, Samples, Timbre, drawing, fold_weight_norm
from serve.models.voice_files import vits_config

SCALES = (0.15, 4.0)
"""Length scales searched for a wanted speed: beyond them a voice is no longer understood."""

Precision = Literal["auto", "float32", "bfloat16"]
"""Of the decoder alone. bfloat16 halves its time where the processor has it and errs by -40 dB; auto takes it there."""
CPU_FLAGS = Path("/proc/cpuinfo")

SOLVE_STEPS = 18
TOKEN_FRAMES_MAX = 400
"""A phoneme longer than 4.6 s is a duration predictor gone astray."""

ENCODINGS, TOKENS = 64, 4096


@dataclass(slots=True)
class Encoded:
    """Mean and log-scale [1, channels, t] of a text's latents and the unrounded frames [t] of its tokens."""

    mean: torch.Tensor
    log_scale: torch.Tensor
    widths: torch.Tensor


@dataclass(slots=True)
class VitsPlan:
    """A text's durations: whole frames per token [t], and what the decoder needs to speak it."""

    frames: torch.Tensor
    encoded: Encoded
    noise: torch.Tensor
    speaker: torch.Tensor | None
    samples: int
    natural_s: float


class VitsVoice:
    """A voice of one speaker or several, read from folder/config.json and folder/model.pth. Not thread-safe."""

    def __init__(self, folder: Path, precision: Precision = "float32", device: str = "cpu") -> None:
        base_tts.AudioProcessor = _no_training_audio
        config = vits_config(folder)
        config.model_args.init_discriminator = False
        with drawing():
            self._net = Vits(config)
        state = torch.load(folder / "model.pth", map_location="cpu", weights_only=True, mmap=True)
        weights = {name: value for name, value in state["model"].items() if not name.startswith("speaker_encoder.")}
        self._net.load_state_dict(weights, strict=False)
        self._device = torch.device(device)
        self._prepare()
        self._decoder_type = torch.bfloat16 if _uses_bfloat16(precision, device) else torch.float32
        self._net.waveform_decoder.to(self._decoder_type)
        self.sample_rate = int(config.audio.sample_rate)
        self.hop = int(np.prod(config.model_args.upsample_rates_decoder))
        args = config.model_args
        self._stretch = self.sample_rate / args.encoder_sample_rate if args.encoder_sample_rate else 1.0
        self._tokens: Recent[tuple[int, ...]] = Recent(TOKENS)
        self._encodings: Recent[Encoded] = Recent(ENCODINGS)  # asked for its length first, then spoken

    def _prepare(self) -> None:
        """Inference mode, weight norm folded into the weights, training-only parts dropped."""
        net = self._net.eval().requires_grad_(False)
        net.posterior_encoder = torch.nn.Identity()
        fold_weight_norm(net.waveform_decoder, net.flow)
        net.to(self._device)

    def limit(self, language: str) -> int | None:
        """VITS has none; what is too long only costs memory."""
        del language
        return None

    def own(self, speaker: str) -> Timbre:
        """One of the voice's own speakers; NOT_FOUND naming what there is."""
        if not self._speaks_as_many:
            if speaker:
                raise not_found(f"VOICE: this voice has one speaker, not '{speaker}'")
            return Timbre("")
        manager = self._net.speaker_manager
        names = sorted(manager.embedding_names or manager.name_to_id)
        name = speaker or names[0]
        if name not in names:
            raise not_found(f"VOICE: there is no speaker '{name}'; speakers of this voice: {', '.join(names[:50])}")
        if self._net.args.use_d_vector_file:
            vector = torch.tensor(np.asarray(manager.get_mean_embedding(name)), dtype=torch.float)[None]
            return Timbre(name, self._conditioning(vector))
        number = torch.tensor([manager.name_to_id[name]], device=self._device)
        return Timbre(name, self._net.emb_g(number).unsqueeze(-1))

    def like(self, clip: Clip) -> Timbre:
        """The clip through the speaker encoder the voice was trained with: a d-vector."""
        manager = self._net.speaker_manager
        sound = soxr.resample(clip.samples, clip.rate, manager.encoder_ap.sample_rate).astype(np.float32)
        takes_sound = manager.encoder_config.model_params.get("use_torch_spec", False)
        features = torch.from_numpy(sound if takes_sound else manager.encoder_ap.melspectrogram(sound))
        with torch.inference_mode():
            vector = manager.encoder.compute_embedding(features.unsqueeze(0).float().to(self._device))
        return Timbre(clip.digest, self._conditioning(vector))

    def tokens(self, text: str, language: str = "") -> tuple[int, ...]:
        """Token ids of a text (phonemes from espeak-ng, which is run with a list of arguments, never a shell)."""
        tokenizer, name = self._net.tokenizer, self._language(language)[0]
        return self._tokens.get((text, name), lambda: tuple(tokenizer.text_to_ids(text, language=name)))

    @torch.inference_mode()
    def plan(self, text: str, manner: Manner) -> VitsPlan:
        """Durations and noise of a text: a function of its arguments."""
        tokens = self.tokens(text, manner.language)
        key = (tokens, manner.seed, manner.language, manner.timbre.key)
        encoded = self._encodings.get(key, lambda: self._encoded(tokens, manner))
        frames = frames_at_speed(encoded.widths, manner.speed)
        natural = frames_at_speed(encoded.widths, 1.0)
        generator = torch.Generator().manual_seed(manner.seed)
        total = int(frames.sum())
        noise = torch.randn(1, encoded.mean.shape[1], total, generator=generator) * self._net.inference_noise_scale
        seconds = int(natural.sum()) * self._stretch * self.hop / self.sample_rate
        return VitsPlan(frames, encoded, noise, manner.timbre.conditioning, self._samples(total), seconds)

    def _encoded(self, tokens: tuple[int, ...], manner: Manner) -> Encoded:
        net = self._net
        language = self._language(manner.language)[1]
        speaker = manner.timbre.conditioning if net.args.condition_dp_on_speaker else None
        x = torch.tensor([tokens], dtype=torch.long, device=self._device)
        lengths = torch.tensor([len(tokens)], device=self._device)
        x, mean, log_scale, mask = net.text_encoder(x, lengths, lang_emb=language)
        stochastic = {"reverse": True, "noise_scale": net.inference_noise_scale_dp} if net.args.use_sdp else {}
        with drawing(manner.seed):
            log_width = net.duration_predictor(x, mask, g=speaker, lang_emb=language, **stochastic)
        return Encoded(mean, log_scale, torch.exp(log_width)[0, 0].cpu() * net.length_scale)

    @torch.inference_mode()
    def speak(self, plan: VitsPlan) -> Samples:
        """The samples of a plan: `hop` of them a frame."""
        net, frames = self._net, plan.frames.to(self._device)
        mean = torch.repeat_interleave(plan.encoded.mean, frames, dim=2)
        log_scale = torch.repeat_interleave(plan.encoded.log_scale, frames, dim=2)
        mask = torch.ones(1, 1, mean.shape[2], device=self._device)
        noise = plan.noise.to(self._device)
        z = net.flow(mean + noise * torch.exp(log_scale), mask, g=plan.speaker, reverse=True)
        if self._stretch != 1.0 and net.args.interpolate_z:
            z = torch.nn.functional.interpolate(z, size=self._stretched(z.shape[2]), mode="linear")
        speaker = None if plan.speaker is None else plan.speaker.to(self._decoder_type)
        samples: Samples = net.waveform_decoder(z.to(self._decoder_type), g=speaker)[0, 0].float().cpu().numpy()
        return samples

    @property
    def _speaks_as_many(self) -> bool:
        return bool(self._net.args.use_speaker_embedding or self._net.args.use_d_vector_file)

    def _conditioning(self, vector: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(vector).unsqueeze(-1).to(self._device)

    def _language(self, code: str) -> tuple[str | None, torch.Tensor | None]:
        """The model's own name of a language and its embedding [1, channels, 1]; of several the first by default."""
        net = self._net
        if not net.args.use_language_embedding:
            return None, None
        names: dict[str, int] = net.language_manager.name_to_id
        name = next((name for name in names if base_language(name) == base_language(code)), next(iter(names)))
        return name, net.emb_l(torch.tensor([names[name]], device=self._device)).unsqueeze(-1)

    def _stretched(self, frames: int) -> int:
        return int(frames * self._stretch)

    def _samples(self, frames: int) -> int:
        return (self._stretched(frames) if self._net.args.interpolate_z else frames) * self.hop


def precision_named(name: str) -> Precision:
    """The precision of that name. Raises ValueError naming what there is."""
    if name not in get_args(Precision):
        raise ValueError(f"decoder_precision is '{name}', expected one of {', '.join(get_args(Precision))}")
    return cast(Precision, name)


def _uses_bfloat16(precision: Precision, device: str) -> bool:
    if precision == "auto":
        flags = set(CPU_FLAGS.read_text().split()) if device == "cpu" and CPU_FLAGS.exists() else set()
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
