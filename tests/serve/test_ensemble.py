"""Ensembles: the graph runs row by row over any backends, and speech_to_speech is its three models in one call."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from serve.ensemble import EnsembleBackend, with_ensembles
from serve.errors import Code, ModelError
from serve.graph import ENSEMBLE, EnsembleStep
from serve.models.base import Array, Tensors
from serve.protocol.dataplane import Backend, Ran
from serve.repository import ModelSpec, TensorSpec

NUMBER = TensorSpec("X", "FP32", (-1,))
STEP_S = 0.05


@dataclass
class Adder:
    """A backend that adds `amount` to X, one row a call, and writes down when it began and ended each."""

    amount: float
    diary: list[str] = field(default_factory=list)
    name: str = ""
    batched: bool = True
    refuses: float | None = None
    sleeping: bool = False
    seconds: float = STEP_S

    async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
        assert requested == {"Y"}
        assert inputs["X"].ndim == (2 if self.batched else 1)
        value = float(inputs["X"].reshape(-1)[0])
        self.diary.append(f"{self.name} begins {value:g}")
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.diary.append(f"{self.name} is cancelled {value:g}")
            raise
        if value == self.refuses:
            raise ModelError(Code.UNAVAILABLE, f"X row 0: not {value:g}", 3.0)
        self.diary.append(f"{self.name} ends {value:g}")
        return Ran({"Y": inputs["X"] + np.float32(self.amount)}, queue_s=1.0, compute_s=2.0)

    async def catalogue(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": f"adds {self.amount:g}"}]

    async def asleep(self) -> bool:
        return self.sleeping


def model(name: str, *, batch: int = 8, inputs: Sequence[str] = ("X",)) -> ModelSpec:
    tensors = tuple(TensorSpec(each, "FP32", (-1,)) for each in inputs)
    return ModelSpec(name, tensors, (TensorSpec("Y", "FP32", (-1,)),), batch, "python", "")


def ensemble(steps: Sequence[EnsembleStep], outputs: Sequence[str], batch: int = 8) -> ModelSpec:
    tensors = tuple(TensorSpec(each, "FP32", (-1,)) for each in outputs)
    return ModelSpec("sum", (TensorSpec("IN", "FP32", (-1,)),), tensors, batch, ENSEMBLE, "", steps=tuple(steps))


def step(model: str, given: str, made: str) -> EnsembleStep:
    return EnsembleStep(model, {"X": given}, {"Y": made})


CHAIN = [step("one", "IN", "MIDDLE"), step("ten", "MIDDLE", "OUT")]


def chain(*, batch: int = 8, seconds: float = STEP_S, **changes: Any) -> tuple[EnsembleBackend, list[str]]:
    """(x + 1) + 10 in two steps, of which the first takes so long, and the diary of both."""
    diary: list[str] = []
    adders = {"one": Adder(1, diary, "one", seconds=seconds), "ten": Adder(10, diary, "ten", **changes)}
    specs = {"one": model("one"), "ten": model("ten", batch=8 if adders["ten"].batched else 0)}
    return EnsembleBackend(ensemble(CHAIN, ["MIDDLE", "OUT"], batch), specs, adders), diary


def rows(*values: float) -> Tensors:
    return {"IN": np.array([[value] for value in values], np.float32)}


def test_each_row_goes_through_the_steps_on_its_own_and_comes_back_in_its_place() -> None:
    backend, diary = chain()
    ran = asyncio.run(backend.infer(rows(100, 200, 300), {"OUT"}, None))
    assert ran.outputs["OUT"].tolist() == [[111], [211], [311]]
    assert list(ran.outputs) == ["OUT"]
    assert (ran.queue_s, ran.compute_s, ran.batch) == (2.0, 4.0, 3)
    assert diary.index("one begins 300") < diary.index("one ends 100")


def test_a_row_that_is_ready_does_not_wait_for_the_rows_behind_it() -> None:
    class Uneven(Adder):
        async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
            await asyncio.sleep(float(inputs["X"][0, 0]))
            return await super().infer(inputs, requested, deadline)

    diary: list[str] = []
    adders = {"one": Uneven(1, diary, "one"), "ten": Adder(10, diary, "ten")}
    backend = EnsembleBackend(ensemble(CHAIN, ["OUT"]), {name: model(name) for name in adders}, adders)
    asyncio.run(backend.infer(rows(0.0, 0.3), {"OUT"}, None))
    assert diary.index("ten ends 1") < diary.index("one begins 0.3")


def test_steps_that_do_not_wait_for_each_other_run_at_the_same_time_and_meet_again() -> None:
    class Sum(Adder):
        async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
            return Ran({"Y": inputs["A"] + inputs["B"]})

    diary: list[str] = []
    adders: dict[str, Backend] = {"one": Adder(1, diary, "one"), "ten": Adder(10, diary, "ten"), "sum": Sum(0)}
    specs = {"one": model("one"), "ten": model("ten"), "sum": model("sum", inputs=("A", "B"))}
    last = EnsembleStep("sum", {"A": "LEFT", "B": "RIGHT"}, {"Y": "OUT"})
    graph = ensemble([last, step("one", "IN", "LEFT"), step("ten", "IN", "RIGHT")], ["OUT"])
    ran = asyncio.run(EnsembleBackend(graph, specs, adders).infer(rows(5), {"OUT"}, None))
    assert ran.outputs["OUT"].tolist() == [[21]]
    assert diary[:2] == ["one begins 5", "ten begins 5"]


def test_steps_that_no_requested_output_needs_are_not_run() -> None:
    backend, diary = chain(refuses=101)
    ran = asyncio.run(backend.infer(rows(100), {"MIDDLE"}, None))
    assert ran.outputs["MIDDLE"].tolist() == [[101]]
    assert diary == ["one begins 100", "one ends 100"]


def test_rows_of_different_length_are_padded_in_the_batch_but_not_between_the_steps() -> None:
    class Longer(Adder):
        async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
            return Ran({"Y": np.full((1, int(inputs["X"][0, 0])), 7, np.float32)})

    class Count(Adder):
        async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
            return Ran({"Y": np.array([[inputs["X"].shape[1]]], np.float32)})

    specs = {"one": model("one"), "ten": model("ten")}
    backend = EnsembleBackend(ensemble(CHAIN, ["MIDDLE", "OUT"]), specs, {"one": Longer(0), "ten": Count(0)})
    ran = asyncio.run(backend.infer(rows(1, 3), {"MIDDLE", "OUT"}, None))
    assert ran.outputs["MIDDLE"].tolist() == [[7, 0, 0], [7, 7, 7]]
    assert ran.outputs["OUT"].tolist() == [[1], [3]]


def test_a_step_that_refuses_is_named_with_its_row_and_the_others_are_cancelled() -> None:
    backend, diary = chain(refuses=101)
    with pytest.raises(ModelError, match=r"in ensemble sum, step 2 \(ten\), row 1: X row 0: not 101") as caught:
        asyncio.run(backend.infer(rows(4, 100), {"OUT"}, None))
    assert (caught.value.code, caught.value.retry_after_s) == (Code.UNAVAILABLE, 3.0)
    assert "ten ends 101" not in diary


def test_a_step_that_fails_unexpectedly_is_named_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Adder):
        async def infer(self, inputs: Mapping[str, Array], requested: set[str], deadline: float | None) -> Ran:
            raise KeyError("secret")

    specs = {"one": model("one"), "ten": model("ten")}
    backend = EnsembleBackend(ensemble(CHAIN, ["OUT"]), specs, {"one": Adder(1), "ten": Broken(0)})
    with pytest.raises(ModelError, match=r"step 2 \(ten\), row 0: failed; the server's log says why") as caught:
        asyncio.run(backend.infer(rows(1), {"OUT"}, None))
    assert caught.value.code == Code.INTERNAL
    assert "secret" in caplog.text


def test_a_caller_that_goes_away_takes_its_running_steps_with_it() -> None:
    backend, diary = chain(seconds=60)

    async def leave() -> None:
        call = asyncio.ensure_future(backend.infer(rows(1, 2), {"OUT"}, None))
        async with asyncio.timeout(30):
            while len(diary) < 2:  # noqa: ASYNC110  (a list tells no one)
                await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(leave())
    assert diary[:2] == ["one begins 1", "one begins 2"]
    assert sorted(diary[2:]) == ["one is cancelled 1", "one is cancelled 2"]


@pytest.mark.parametrize(("whole", "batched"), [(8, False), (0, True), (0, False)])
def test_models_and_ensembles_with_and_without_a_batch_dimension_go_together(whole: int, batched: bool) -> None:
    backend, _ = chain(batch=whole, batched=batched)
    given = rows(1, 2) if whole else {"IN": np.array([1], np.float32)}
    ran = asyncio.run(backend.infer(given, {"OUT"}, None))
    assert ran.outputs["OUT"].tolist() == ([[12], [13]] if whole else [12])


def test_an_ensemble_may_be_a_step_of_another() -> None:
    specs = {"one": model("one"), "ten": model("ten"), "sum": ensemble(CHAIN, ["OUT"])}
    inner = EnsembleStep("sum", {"IN": "IN"}, {"OUT": "MIDDLE"})
    outer = ensemble([inner, step("ten", "MIDDLE", "OUT")], ["OUT"])
    backends = with_ensembles({"twice": outer, **specs}, {"one": Adder(1), "ten": Adder(10)})

    async def run() -> Ran:
        return await backends["twice"].infer(rows(0), {"OUT"}, None)

    ran = asyncio.run(run())
    assert ran.outputs["OUT"].tolist() == [[21]]


def test_what_an_ensemble_can_do_is_what_its_models_can_do() -> None:
    backend, _ = chain(sleeping=True)
    told = asyncio.run(backend.catalogue())
    assert told == [{"model": "one", "name": "adds 1"}, {"model": "ten", "name": "adds 10"}]
    assert asyncio.run(backend.asleep())
    assert not asyncio.run(chain()[0].asleep())


Infer = Callable[..., dict[str, Array]]
HEARD = ("TRANSCRIPT", "LANGUAGE", "LANGUAGE_PROBABILITY", "SEGMENTS")


def windows(clips: Sequence[Array]) -> tuple[Array, Array]:
    """Clips of different length as padded rows, and the samples of each."""
    batch = np.zeros((len(clips), max(map(len, clips))), np.float32)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch, np.array([[len(clip)] for clip in clips], np.int32)


def texts(values: Array) -> list[list[str]]:
    """A BYTES tensor as the infer fixture takes it."""
    return [[value.decode() for value in row] for row in values]


def test_speech_to_speech_in_one_call_is_what_three_calls_give(infer: Infer, librivox: list[Any]) -> None:
    audio, samples = windows([librivox[1].audio, np.zeros(16_000, np.float32), librivox[4].audio])
    to, speed, seed = [["es"], ["es"], ["de"]], [[1.0], [1.0], [1.1]], [[0], [1], [2]]
    options = [("SPEED", speed, "FP32"), ("SEED", seed, "INT64")]
    one = infer(
        "speech_to_speech",
        [("WINDOW", audio, "FP32"), ("WINDOW_SAMPLES", samples, "INT32"), ("TARGET", to, "BYTES"), *options],
    )

    heard = infer("whisper", [("AUDIO", audio, "FP32"), ("NUM_SAMPLES", samples, "INT32")])
    source = [("TEXT", texts(heard["TEXT"]), "BYTES"), ("SOURCE", texts(heard["LANGUAGE"]), "BYTES")]
    translated = infer("opus_mt", [*source, ("TARGET", to, "BYTES")])
    said = [("TEXT", texts(translated["TRANSLATIONS"]), "BYTES"), ("LANGUAGE", to, "BYTES")]
    spoken = infer("coqui_tts", [*said, *options])

    for name, wanted in zip(HEARD, ("TEXT", *HEARD[1:]), strict=True):
        if name == "SEGMENTS":
            assert [words(a) for a in one[name][:, 0]] == [words(a) for a in heard[wanted][:, 0]]
        elif name == "LANGUAGE_PROBABILITY":
            np.testing.assert_allclose(one[name], heard[wanted], atol=1e-3)
        else:
            assert one[name].tolist() == heard[wanted].tolist()
    assert one["TRANSLATION"].tolist() == translated["TRANSLATIONS"].tolist()
    for name in ("NUM_SAMPLES", "SAMPLE_RATE", "AUDIO"):
        np.testing.assert_array_equal(one[name], spoken[name], err_msg=name)


def words(segments: bytes) -> list[tuple[str, float, float]]:
    """Each word with its times."""
    return [(word["word"], word["start"], word["end"]) for each in json.loads(segments) for word in each["words"]]


def test_where_nobody_speaks_there_is_no_text_and_a_tenth_of_a_second_of_silence(infer: Infer) -> None:
    quiet = infer("speech_to_speech", [("WINDOW", np.zeros((1, 32_000)), "FP32"), ("TARGET", [["es"]], "BYTES")])
    assert [quiet[name][0, 0] for name in ("TRANSCRIPT", "TRANSLATION", "SEGMENTS")] == [b"", b"", b"[]"]
    assert quiet["NUM_SAMPLES"][0, 0] == round(quiet["SAMPLE_RATE"][0, 0] / 10)
    assert not quiet["AUDIO"].any()


def test_speech_in_the_target_language_is_spoken_as_it_was_heard(infer: Infer, librivox: list[Any]) -> None:
    inputs = [("WINDOW", librivox[1].audio[None], "FP32"), ("TARGET", [["en"]], "BYTES"), ("SOURCE", [["en"]], "BYTES")]
    same = infer("speech_to_speech", inputs, ["TRANSCRIPT", "TRANSLATION"])
    assert b"young man" in same["TRANSCRIPT"][0, 0]
    assert same["TRANSLATION"].tolist() == same["TRANSCRIPT"].tolist()


def test_a_step_is_refused_by_name_and_only_when_it_is_needed(infer: Infer, librivox: list[Any]) -> None:
    inputs = [("WINDOW", librivox[1].audio[None], "FP32"), ("TARGET", [["zz"]], "BYTES"), ("SOURCE", [["en"]], "BYTES")]
    assert b"young man" in infer("speech_to_speech", inputs, ["TRANSCRIPT"])["TRANSCRIPT"][0, 0]
    refusal = r"in ensemble speech_to_speech, step 2 \(opus_mt\), row 0: .* from 'en' to 'zz'"
    with pytest.raises(InferenceServerException, match=refusal) as caught:
        infer("speech_to_speech", inputs, ["TRANSCRIPT", "TRANSLATION"])
    assert caught.value.status() == "StatusCode.NOT_FOUND"
