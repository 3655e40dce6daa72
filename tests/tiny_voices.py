"""Voices of random weights in the layout of the real ones: the sound is noise, the path is the whole path."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from torch.nn.functional import normalize
from TTS.config.shared_configs import BaseAudioConfig
from TTS.encoder.configs.speaker_encoder_config import SpeakerEncoderConfig
from TTS.encoder.utils.generic_utils import setup_encoder_model
from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
from TTS.tts.models.vits import Vits
from TTS.tts.models.xtts import Xtts
from TTS.vc.configs.openvoice_config import OpenVoiceConfig
from TTS.vc.models.openvoice import OpenVoice

from serve.models.base import WeightSet

VITS: dict[str, Any] = {
    "init_discriminator": False,
    "hidden_channels": 16,
    "hidden_channels_ffn_text_encoder": 16,
    "num_layers_text_encoder": 1,
    "num_layers_flow": 1,
    "num_layers_posterior_encoder": 1,
    "upsample_initial_channel_decoder": 32,
    "resblock_type_decoder": "2",
    "resblock_kernel_sizes_decoder": [3],
    "resblock_dilation_sizes_decoder": [[1, 2]],
    "upsample_rates_decoder": [8, 8, 4],
    "upsample_kernel_sizes_decoder": [16, 16, 8],
}
D_VECTOR = 16
SPEAKERS = ("ann", "bob")


def weight(folder: Path, **facts: Any) -> WeightSet:
    """A folder as the catalogue would hand it over, named after itself."""
    return WeightSet(folder.name, folder, {"name": folder.name, "language": "en", **facts})


def save_vits(folder: Path, config: VitsConfig) -> None:
    """A VITS of that configuration, seeded by its folder's name."""
    torch.manual_seed(sum(folder.name.encode()))
    net = Vits(config)
    torch.save({"model": net.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))


def vits(folder: Path, *, stray: float = 0.8, **args: Any) -> WeightSet:
    """A VITS voice that reads letters. `stray`: how much durations differ from seed to seed."""
    folder.mkdir(parents=True)
    audio = BaseAudioConfig(sample_rate=22_050)
    shape = VitsArgs(**VITS, inference_noise_scale_dp=stray, **args)
    config = VitsConfig(use_phonemes=False, text_cleaner="basic_cleaners", audio=audio, model_args=shape)
    save_vits(folder, config)
    return weight(folder)


def speakers_vits(folder: Path) -> WeightSet:
    """A VITS voice of two speakers in an embedding table."""
    folder.mkdir(parents=True)
    (folder / "speaker_ids.json").write_text(json.dumps({name: at for at, name in enumerate(SPEAKERS)}))
    shape = VitsArgs(**VITS, use_speaker_embedding=True, speaker_embedding_channels=D_VECTOR)
    shape.speakers_file = str(folder / "speaker_ids.json")
    config = VitsConfig(use_phonemes=False, text_cleaner="basic_cleaners", model_args=shape)
    config.use_speaker_embedding, config.speakers_file = True, shape.speakers_file
    save_vits(folder, config)
    return weight(folder)


def d_vector_vits(folder: Path) -> WeightSet:
    """A VITS voice of d-vectors and two languages, with the speaker encoder that makes d-vectors of clips (YourTTS)."""
    folder.mkdir(parents=True)
    save_speaker_encoder(folder)
    vectors = normalize(torch.randn(2, D_VECTOR, generator=torch.Generator().manual_seed(5)))
    table = {name: {"name": name, "embedding": vectors[at].tolist()} for at, name in enumerate(SPEAKERS)}
    (folder / "speakers.json").write_text(json.dumps(table))
    (folder / "language_ids.json").write_text(json.dumps({"en": 0, "fr-fr": 1}))
    shape = VitsArgs(
        **VITS, use_d_vector_file=True, d_vector_dim=D_VECTOR, d_vector_file=[str(folder / "speakers.json")]
    )
    shape.use_language_embedding, shape.embedded_language_dim = True, 4
    shape.language_ids_file = str(folder / "language_ids.json")
    config = VitsConfig(use_phonemes=False, text_cleaner="basic_cleaners", model_args=shape)
    config.use_d_vector_file, config.d_vector_dim, config.d_vector_file = True, D_VECTOR, shape.d_vector_file
    save_vits(folder, config)
    forget_paths(folder)
    return weight(folder, languages=["en", "fr"])


def forget_paths(folder: Path) -> None:
    """Paths in config.json become those of the machine that trained, as in every published archive."""
    path = folder / "config.json"
    path.write_text(path.read_text().replace(str(folder), "/root/train/run-1"))


def save_speaker_encoder(folder: Path) -> None:
    """model_se.pth and config_se.json."""
    config = SpeakerEncoderConfig()
    shape = {"input_dim": 40, "proj_dim": D_VECTOR, "lstm_dim": 16, "num_lstm_layers": 1}
    config.model_params = {"model_name": "lstm", "use_lstm_with_projection": True, "use_torch_spec": True, **shape}
    config.num_loader_workers, config.num_classes_in_batch, config.num_utter_per_class = 0, 1, 1
    config.skip_classes = False
    config.audio.num_mels, config.audio.sample_rate = 40, 16_000
    torch.manual_seed(7)
    torch.save({"model": setup_encoder_model(config).state_dict()}, folder / "model_se.pth")
    config.save_json(str(folder / "config_se.json"))


def xtts(folder: Path) -> WeightSet:
    """An XTTS (v2's kind, with perceiver) whose sentences are at most 6 audio tokens. No speakers of its own."""
    folder.mkdir(parents=True)
    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", "[en]", "[es]"]
    symbols = [*special, *"abcdefghijklmnopqrstuvwxyz.,!?' "]
    tokenizer = Tokenizer(BPE({each: at for at, each in enumerate(symbols)}, [], unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(folder / "vocab.json"))
    shape = XttsArgs(
        gpt_layers=1,
        gpt_n_model_channels=32,
        gpt_n_heads=2,
        gpt_max_audio_tokens=9,
        gpt_num_audio_tokens=66,
        gpt_start_audio_token=64,
        gpt_stop_audio_token=65,
        gpt_number_text_tokens=len(symbols),
        gpt_start_text_token=3,
        gpt_stop_text_token=0,
        gpt_use_perceiver_resampler=True,
        decoder_input_dim=32,
    )
    config = XttsConfig(model_args=shape, languages=["en", "es"])
    torch.manual_seed(11)
    torch.save({"model": Xtts(config).state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    return weight(folder, languages=["en", "es"])


def openvoice(folder: Path) -> WeightSet:
    """An OpenVoice converter with config.json and checkpoint.pth as its authors publish them."""
    (folder / "converter").mkdir(parents=True)
    shape = {
        "zero_g": True,
        "inter_channels": 16,
        "hidden_channels": 16,
        "upsample_rates": [8, 8, 2, 2],
        "upsample_initial_channel": 32,
        "upsample_kernel_sizes": [16, 16, 4, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
        "gin_channels": 16,
    }
    config = OpenVoiceConfig()
    for name, value in shape.items():
        config.model_args[name] = value
    torch.manual_seed(13)
    net = OpenVoice(config)
    for weights in net.flow.parameters():  # the last layers begin as zeros, which would leave every voice as it is
        torch.nn.init.normal_(weights, std=0.1)
    torch.save({"model": net.state_dict()}, folder / "converter" / "checkpoint.pth")
    data = {"sampling_rate": 22_050, "filter_length": 1024, "hop_length": 256, "win_length": 1024}
    (folder / "converter" / "config.json").write_text(json.dumps({"_version_": "v2", "data": data, "model": shape}))
    return weight(folder, language="", languages=[])
