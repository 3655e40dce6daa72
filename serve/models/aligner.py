"""One language's forced alignment: a wav2vec2 CTC model and WhisperX's search for the best path through it."""

import logging
from collections.abc import Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from serve.models.base import WeightSet
from serve.models.word_times import Timed, frames

RATE = 16_000
SEPARATORS = " |.!?"
PUNKT = ("abbrev_types.txt", "collocations.tab", "sent_starters.txt", "ortho_context.tab")


@cache
def whisperx() -> Any:
    """WhisperX's alignment, imported once: it takes torch and transformers with it."""
    from whisperx import alignment  # noqa: PLC0415

    logging.getLogger("whisperx").setLevel(logging.ERROR)
    alignment.nltk.data.path.insert(0, empty_punkt().name)
    return alignment


@cache
def empty_punkt() -> TemporaryDirectory[str]:
    """nltk data with an empty model of sentences. WhisperX would download one to split texts by, and what it is given
    here has no punctuation to split at.
    """
    folder = TemporaryDirectory(prefix="octavia-punkt-")
    english = Path(folder.name, "tokenizers", "punkt_tab", "english")
    english.mkdir(parents=True)
    for name in PUNKT:
        (english / name).touch()
    return folder


class Aligner:
    """Aligns words of one language. ValueError when the folder is not a wav2vec2 CTC model with its tokenizer."""

    def __init__(self, weights: WeightSet, language: str, device: str) -> None:
        alignment = whisperx()
        try:
            net, metadata = alignment.load_align_model(
                language, device, model_name=str(weights.folder), model_cache_only=True
            )
        except ValueError as error:
            cause = error.__context__ or error
            raise ValueError(f"{weights.name}: {weights.folder} is not a wav2vec2 CTC model: {cause}") from error
        self._net = net.eval()
        self._device = device
        self.spaced = language not in alignment.LANGUAGES_WITHOUT_SPACES
        self._metadata = metadata | {"language": "en" if self.spaced else language}
        self._characters = frozenset(c for c in metadata["dictionary"] if len(c) == 1 and c not in SEPARATORS)

    def times(
        self, audio: npt.NDArray[np.float32], start: float, end: float, words: Sequence[str]
    ) -> list[Timed | None]:
        """Where in 16 kHz audio [n], from start to end in seconds, each word is said: None for a word without letters
        that the model knows, and for all when they are too many for the time.
        """
        known = ["".join(c for c in word.lower() if c in self._characters) for word in words]
        spoken = [word for word in known if word]
        text = (" " if self.spaced else "").join(spoken)
        if not text or len(text) > frames(int(end * RATE) - int(start * RATE)):
            return [None] * len(words)
        segment = {"start": start, "end": end, "text": text}
        result = whisperx().align([segment], self._net, self._metadata, audio, self._device)
        parts = iter(result["word_segments"])
        if not result["word_segments"]:
            return [None] * len(words)
        return [self._joined(list(islice(parts, 1 if self.spaced else len(word)))) if word else None for word in known]

    @staticmethod
    def _joined(parts: Sequence[dict[str, Any]]) -> Timed:
        scores = [float(part.get("score", 0.0)) for part in parts]
        return Timed(float(parts[0]["start"]), float(parts[-1]["end"]), sum(scores) / len(scores))
