"""One Coqui XTTS model: audio tokens are drawn one after the other, so the length is known before the decoder runs.

Coqui's Xtts.inference in its two halves. Speed is XTTS's own: the tokens' latents are stretched before decoding.
"""

from dataclasses import dataclass
from pathlib import Path

import soxr
import torch
from torch.nn.functional import interpolate
from TTS.config import load_config
from TTS.tts.models.xtts import Xtts

from serve.errors import invalid, not_found
from serve.models.base import base_language
from serve.models.voice import Clip, Manner, Recent, Samples, Timbre, drawing, fold_weight_norm

CONDITIONING_RATE = 22_050
PLANS = 16


@dataclass(slots=True)
class XttsPlan:
    """A text's latents [1, t, channels], stretched to its speed."""

    latents: torch.Tensor
    speaker: torch.Tensor
    samples: int
    natural_s: float


class XttsVoice:
    """A model read from folder: config.json, model.pth, vocab.json and, for own speakers, speakers_xtts.pth."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        config = load_config(str(folder / "config.json"))
        with drawing():
            self._net = Xtts(config)
            self._net.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
        self._net.requires_grad_(False).to(device)
        fold_weight_norm(self._net.hifigan_decoder.waveform_decoder)
        self.sample_rate = int(config.audio.output_sample_rate)
        self._latents: Recent[torch.Tensor] = Recent(PLANS)  # asked for its length first, then spoken

    def limit(self, language: str) -> int | None:
        """Coqui's character limits, by language."""
        limits: dict[str, int] = self._net.tokenizer.char_limits
        return limits.get(base_language(language), min(limits.values()))

    def own(self, speaker: str) -> Timbre:
        """A speaker of speakers_xtts.pth. INVALID_ARGUMENT where the model comes without."""
        manager = self._net.speaker_manager
        if manager is None:
            raise invalid("REFERENCE: this voice has no speaker of its own; send a clip of the one to speak like")
        names = sorted(manager.speakers)
        name = speaker or names[0]
        if name not in names:
            raise not_found(f"VOICE: there is no speaker '{name}'; speakers of this voice: {', '.join(names[:50])}")
        return Timbre(name, tuple(manager.speakers[name].values()))

    def like(self, clip: Clip) -> Timbre:
        """Conditioning latents of the clip, and its speaker embedding."""
        config = self._net.config
        sound = soxr.resample(clip.samples, clip.rate, CONDITIONING_RATE)[: CONDITIONING_RATE * config.max_ref_len]
        audio = torch.from_numpy(sound).float()[None].to(self._net.device)
        latents = self._net.get_gpt_cond_latents(
            audio, CONDITIONING_RATE, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
        )
        return Timbre(clip.digest, (latents, self._net.get_speaker_embedding(audio, CONDITIONING_RATE)))

    @torch.inference_mode()
    def plan(self, text: str, manner: Manner) -> XttsPlan:
        """The text's latents: a function of its arguments."""
        latents = self._latents.get(
            (text, manner.language, manner.timbre.key, manner.seed), lambda: self._drawn(text, manner)
        )
        natural = self._samples(latents.shape[1])
        if manner.speed != 1.0:
            latents = interpolate(latents.transpose(1, 2), scale_factor=1 / manner.speed, mode="linear").transpose(1, 2)
        speaker = manner.timbre.conditioning[1].to(self._net.device)
        return XttsPlan(latents, speaker, self._samples(latents.shape[1]), natural / self.sample_rate)

    def _drawn(self, text: str, manner: Manner) -> torch.Tensor:
        """Latents [1, t, channels] of the audio tokens drawn for a text."""
        net, config = self._net, self._net.config
        conditioning = manner.timbre.conditioning[0].to(net.device)
        ids = net.tokenizer.encode(text.strip().lower(), lang=self._language(manner.language))
        tokens = torch.tensor([ids], dtype=torch.int, device=net.device)
        if tokens.shape[1] >= net.args.gpt_max_text_tokens:
            raise invalid(f"TEXT: {len(text)} characters are too many tokens for XTTS; put sentence ends into it")
        with drawing(manner.seed):
            codes = net.gpt.generate(
                cond_latents=conditioning,
                text_inputs=tokens,
                do_sample=True,
                top_p=config.top_p,
                top_k=config.top_k,
                temperature=config.temperature,
                repetition_penalty=config.repetition_penalty,
                length_penalty=config.length_penalty,
                num_beams=1,
                num_return_sequences=1,
                output_attentions=False,
            )
        lengths = [tokens.shape[1], codes.shape[1] * net.gpt.code_stride_len]
        text_length, sound_length = (torch.tensor([length], device=net.device) for length in lengths)
        latents: torch.Tensor = net.gpt(
            tokens, text_length, codes, sound_length, cond_latents=conditioning, return_latent=True
        )
        return latents

    @torch.inference_mode()
    def speak(self, plan: XttsPlan) -> Samples:
        """The samples of a plan."""
        samples: Samples = self._net.hifigan_decoder(plan.latents, g=plan.speaker).reshape(-1).cpu().numpy()
        return samples

    def _language(self, code: str) -> str:
        known: list[str] = self._net.config.languages
        wanted = base_language(code) or base_language(known[0])
        if wanted not in {base_language(each) for each in known}:
            raise not_found(f"LANGUAGE: this voice does not speak '{code}'; it speaks {', '.join(known)}")
        return wanted

    def _samples(self, tokens: int) -> int:
        """How many samples the decoder makes of so many tokens, which it resizes twice before its convolutions."""
        decoder = self._net.hifigan_decoder
        frames = torch.empty(1, 1, tokens, device="meta")
        scales = [decoder.ar_mel_length_compression / decoder.output_hop_length]
        if decoder.output_sample_rate != decoder.input_sample_rate:
            scales.append(decoder.output_sample_rate / decoder.input_sample_rate)
        for scale in scales:
            frames = interpolate(frames, scale_factor=[scale], mode="linear")
        return int(frames.shape[2]) * int(decoder.output_hop_length)
