"""Speaking like a clip by conversion: the base voice speaks, OpenVoice gives it the clip's tone colour."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
import torch
from TTS.utils.audio.torch_transforms import wav_to_spec
from TTS.vc.configs.openvoice_config import OpenVoiceConfig
from TTS.vc.models.openvoice import OpenVoice

from serve.models.voice import Clip, Manner, Plan, Samples, Timbre, Voice, drawing, fold_weight_norm
from serve.models.voice_files import model_folder, raw_config

CHECKPOINT = "checkpoint.pth"
LONGEST_CLIP_S = 30.0
"""Of a clip this much is listened to: more changes little and costs memory."""


class OpenVoiceConverter:
    """A converter in OpenVoice's own form: config.json and checkpoint.pth. Not thread-safe."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        config = OpenVoiceConfig()
        for name, value in raw_config(folder)["model"].items():
            if name in config.model_args:
                config.model_args[name] = value
        data = raw_config(folder)["data"]
        config.audio.fft_size, config.audio.hop_length = data["filter_length"], data["hop_length"]
        path = model_folder(folder) / CHECKPOINT
        with drawing():
            self._net = OpenVoice(config)
        self._net.load_checkpoint(config, path, eval=True)
        self._net.requires_grad_(False).to(device)
        fold_weight_norm(self._net)
        self._rate = int(data["sampling_rate"])

    @torch.inference_mode()
    def like(self, clip: Clip) -> Timbre:
        """The clip's tone colour [1, channels, 1]."""
        sound = clip.samples[: int(LONGEST_CLIP_S * clip.rate)]
        return Timbre(clip.digest, self._colour(self._spectrum(sound, clip.rate)))

    @torch.inference_mode()
    def convert(self, samples: Samples, rate: int, timbre: Timbre, seed: int) -> Samples:
        """The same speech in that timbre: as many samples, at the same rate. A function of its arguments."""
        spectrum = self._spectrum(samples, rate)
        colours = {"g_src": self._colour(spectrum), "g_tgt": timbre.conditioning, "x_lengths": None}
        with drawing(seed):
            sound = self._net.inference(spectrum, colours)["model_outputs"][0, 0].cpu().numpy()
        back = sound if rate == self._rate else soxr.resample(sound, self._rate, rate)
        fitted = np.zeros(len(samples), np.float32)
        fitted[: len(back)] = back[: len(samples)]
        return fitted

    def _spectrum(self, samples: Samples, rate: int) -> torch.Tensor:
        """Linear spectrum [1, bins, frames]."""
        audio = self._net.config.audio
        sound = samples if rate == self._rate else soxr.resample(samples, rate, self._rate)
        sound = np.pad(sound, (0, max(0, audio.win_length + audio.hop_length - len(sound)))).astype(np.float32)
        wave = torch.from_numpy(sound)[None, None].to(self._net.device)
        spectrum: torch.Tensor = wav_to_spec(wave, audio.fft_size, audio.hop_length, audio.win_length, center=False)
        return spectrum

    def _colour(self, spectrum: torch.Tensor) -> torch.Tensor:
        colour: torch.Tensor = self._net.ref_enc(spectrum.transpose(1, 2)).unsqueeze(-1)
        return colour


@dataclass(slots=True)
class ConvertedPlan:
    """The base voice's plan, and into what its speech is turned."""

    base: Plan
    timbre: Timbre | None
    seed: int

    @property
    def samples(self) -> int:
        return self.base.samples

    @property
    def natural_s(self) -> float:
        return self.base.natural_s


@dataclass(frozen=True, slots=True)
class Converted:
    """The conditioning of a timbre that a base voice cannot speak in itself."""

    base: Timbre
    clip: Timbre


class ConvertedVoice:
    """A voice with a converter behind it."""

    def __init__(self, base: Voice, converter: OpenVoiceConverter) -> None:
        self._base = base
        self._converter = converter
        self.sample_rate = base.sample_rate

    def limit(self, language: str) -> int | None:
        """That of the base voice."""
        return self._base.limit(language)

    def own(self, speaker: str) -> Timbre:
        """That of the base voice."""
        return self._base.own(speaker)

    def like(self, clip: Clip) -> Timbre:
        """The clip's tone colour over the base voice's first speaker."""
        return Timbre(clip.digest, Converted(self._base.own(""), self._converter.like(clip)))

    def plan(self, text: str, manner: Manner) -> ConvertedPlan:
        """Conversion keeps the base voice's length."""
        timbre = manner.timbre
        if not isinstance(timbre.conditioning, Converted):
            return ConvertedPlan(self._base.plan(text, manner), None, manner.seed)
        base = Manner(timbre.conditioning.base, manner.language, manner.speed, manner.seed)
        return ConvertedPlan(self._base.plan(text, base), timbre.conditioning.clip, manner.seed)

    def speak(self, plan: ConvertedPlan) -> Samples:
        """The base voice's samples, turned into the clip's timbre where one is wanted."""
        samples = self._base.speak(plan.base)
        if plan.timbre is None:
            return samples
        return self._converter.convert(samples, self.sample_rate, plan.timbre, plan.seed)
