"""The model classes: plain, synchronous, without any server in them."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import cast

from serve.models.base import Model, WeightSet

CLASSES = {  # name in model_repo -> module and class, imported only where they run
    "vad": ("serve.models.vad", "Vad"),
    "whisper": ("serve.models.whisper", "Whisper"),
    "opus_mt": ("serve.models.opus_mt", "OpusMt"),
    "coqui_tts": ("serve.models.coqui_tts", "CoquiTts"),
    "align": ("serve.models.align", "Align"),
    "diarize": ("serve.models.diarize", "Diarize"),
    "separate": ("serve.models.separate", "Separate"),
    "speech_quality": ("serve.models.speech_quality", "SpeechQuality"),
    "speaker_embedding": ("serve.models.speaker_embedding", "SpeakerEmbedding"),
}

BY_CHOICE = {
    "align": "OCTAVIA_ALIGN",
    "diarize": "OCTAVIA_DIARIZE",
    "separate": "OCTAVIA_SEPARATE",
    "speech_quality": "OCTAVIA_SPEECH_QUALITY",
    "speaker_embedding": "OCTAVIA_SPEAKER_EMBEDDING",
}
"""Models that are served where a setting names weights for them, and the setting."""


def create(name: str, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> Model:
    """The model of that name, not loaded yet: of our classes, or the one that config.pbtxt's parameter `class` names as
    "module:Class". KeyError when there is none.
    """
    module, attribute = parameters["class"].split(":") if "class" in parameters else CLASSES[name]
    return cast(Model, getattr(import_module(module), attribute)(parameters, weights))
