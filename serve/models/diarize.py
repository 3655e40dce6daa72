"""Speaker diarization: who speaks when. A pyannote pipeline, run and joined with words by WhisperX."""

import logging
import os
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from serve.devices import device_for
from serve.errors import ModelError, invalid
from serve.models.base import Answer, Tensors, WeightSet, decode, only
from serve.models.diarization_folder import check_folder
from serve.models.segments import Segment, read_segments, write_segments

RATE = 16_000
SHORTEST_S = 0.1
MOST_SPEAKERS = 20
COUNTS = ("NUM_SPEAKERS", "MIN_SPEAKERS", "MAX_SPEAKERS")

Turn = tuple[float, float, str]


class Diarize:
    """Inputs and outputs as in model_repo/diarize/config.pbtxt. One recording at a time."""

    def __init__(self, parameters: Mapping[str, str], weights: Sequence[WeightSet]) -> None:
        self._weights = only(weights, "diarize")
        self._max_seconds = float(parameters.get("max_seconds", "600"))
        self._device = device_for(parameters)
        self._lock = Lock()

    def load(self) -> None:
        check_folder(self._weights.folder)
        os.environ["PYANNOTE_METRICS_ENABLED"] = "false"  # pyannote reads it at each use
        from whisperx import diarize  # noqa: PLC0415 - imports pyannote and lightning

        logging.getLogger("whisperx").setLevel(logging.ERROR)
        torch.set_num_threads(1)
        self._whisperx = diarize
        self._pipeline = diarize.DiarizationPipeline(str(self._weights.folder), device=self._device)
        self._turns(np.zeros(RATE, np.float32), {})

    def catalogue(self) -> list[dict[str, Any]]:
        return [dict(self._weights.facts)]

    def infer(self, batch: Sequence[Tensors], requested: Sequence[set[str]]) -> list[Answer]:
        del requested
        return [self._answer(request) for request in batch]

    def _answer(self, request: Tensors) -> Answer:
        audio = request["AUDIO"]
        seconds = len(audio) / RATE
        try:
            if not SHORTEST_S <= seconds <= self._max_seconds:
                raise invalid(
                    f"AUDIO: {seconds:.2f} s of 16 kHz audio, expected {SHORTEST_S:g} to {self._max_seconds:g} s"
                )
            segments = _segments(request, seconds)
            turns = self._turns(np.array(audio, np.float32), _counts(request))
        except ModelError as error:
            return error
        return {
            "TURNS": np.array([turn[:2] for turn in turns], np.float32).reshape(-1, 2),
            "SPEAKERS": _bytes([speaker for _, _, speaker in turns]),
            "SEGMENTS": _bytes([write_segments(self._assigned(segments, turns))]),
        }

    def _turns(self, audio: npt.NDArray[np.float32], counts: Mapping[str, int]) -> list[Turn]:
        """Turns by start, within the audio, speakers numbered by their first one."""
        wanted = {name.lower(): count for name, count in counts.items()}
        try:
            with self._lock:
                table = self._pipeline(audio, **wanted)
        except ValueError as error:
            if "n_clusters" not in str(error):
                raise
            raise invalid(
                f"{', '.join(counts)}: too little is said in {len(audio) / RATE:.1f} s of AUDIO to tell so many "
                "speakers apart"
            ) from error
        seconds = len(audio) / RATE
        found = sorted(zip(table["start"], table["end"], table["speaker"], strict=True))
        return _numbered([(float(s), min(float(e), seconds), who) for s, e, who in found if s < seconds])

    def _assigned(self, segments: list[Segment], turns: Sequence[Turn]) -> list[Segment]:
        """Segments and words, each with the speaker who speaks most of it, where anybody does."""
        if not segments or not turns:
            return segments
        from pandas import DataFrame  # noqa: PLC0415 - comes with whisperx

        table = DataFrame(turns, columns=["start", "end", "speaker"])
        assigned: dict[str, list[Segment]] = self._whisperx.assign_word_speakers(table, {"segments": segments})
        return assigned["segments"]


def _segments(request: Tensors, seconds: float) -> list[Segment]:
    given = decode(request["SEGMENTS"][0], "SEGMENTS", 0) if "SEGMENTS" in request else ""
    return read_segments(given or "[]", "SEGMENTS", seconds)


def _counts(request: Tensors) -> dict[str, int]:
    """The numbers of speakers that were given."""
    counts = {name: int(request[name][0]) for name in COUNTS if name in request}
    for name, count in counts.items():
        if not 1 <= count <= MOST_SPEAKERS:
            raise invalid(f"{name}: expected 1 to {MOST_SPEAKERS}, got {count}")
    if "NUM_SPEAKERS" in counts and len(counts) > 1:
        raise invalid("NUM_SPEAKERS: expected without MIN_SPEAKERS and MAX_SPEAKERS, it says both")
    if counts.get("MIN_SPEAKERS", 1) > counts.get("MAX_SPEAKERS", MOST_SPEAKERS):
        raise invalid(f"MIN_SPEAKERS: {counts['MIN_SPEAKERS']} is more than MAX_SPEAKERS, {counts['MAX_SPEAKERS']}")
    return counts


def _numbered(turns: Sequence[Turn]) -> list[Turn]:
    names: dict[str, str] = {}
    return [(start, end, names.setdefault(who, f"SPEAKER_{len(names):02d}")) for start, end, who in turns]


def _bytes(values: Sequence[str]) -> npt.NDArray[np.object_]:
    array: npt.NDArray[np.object_] = np.empty(len(values), np.object_)
    array[:] = [value.encode("utf-8") for value in values]
    return array
