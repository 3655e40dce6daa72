"""config.pbtxt is the single source of tensors and batching."""

from pathlib import Path

import pytest

from serve.graph import EnsembleStep
from serve.models import CLASSES
from serve.repository import RepositoryError, TensorSpec, read_model, read_repository

CHECKOUT = Path(__file__).parents[2]
MINIMAL = """
name: "m" backend: "python" max_batch_size: 4
input [ { name: "A", data_type: TYPE_FP32, dims: [ -1, 2 ] } ]
input [ { name: "B", data_type: TYPE_STRING, dims: [ 1 ], optional: true } ]
output [ { name: "C", data_type: TYPE_INT64, dims: [ 1 ] } ]
dynamic_batching { preferred_batch_size: [ 2, 4 ] max_queue_delay_microseconds: 1500 }
instance_group [ { count: 3, kind: KIND_CPU } ]
parameters { key: "beam" value: { string_value: "2" } }
"""


def written(folder: Path, text: str, name: str = "m") -> Path:
    model = folder / name
    model.mkdir()
    (model / "config.pbtxt").write_text(text)
    return model


def test_a_model_is_what_its_configuration_says(tmp_path: Path) -> None:
    spec = read_model(written(tmp_path, MINIMAL))
    assert spec.inputs == (TensorSpec("A", "FP32", (-1, 2)), TensorSpec("B", "BYTES", (1,), optional=True))
    assert spec.outputs == (TensorSpec("C", "INT64", (1,)),)
    assert (spec.max_batch_size, spec.preferred_batch_size, spec.max_queue_delay_s) == (4, 4, 0.0015)
    assert (spec.dynamic_batching, spec.instance_count, spec.kind) == (True, 3, "KIND_CPU")
    assert spec.parameters == {"beam": "2"}


def test_a_batched_model_shows_its_batch_dimension_and_an_unbatched_one_does_not(tmp_path: Path) -> None:
    batched = read_model(written(tmp_path, MINIMAL))
    unbatched = read_model(written(tmp_path, MINIMAL.replace('"m"', '"n"').replace("size: 4", "size: 0"), "n"))
    assert batched.shape(batched.inputs[0]) == [-1, -1, 2]
    assert unbatched.shape(unbatched.inputs[0]) == [-1, 2]


def test_the_configuration_given_out_is_a_fresh_copy_each_time(tmp_path: Path) -> None:
    spec = read_model(written(tmp_path, MINIMAL))
    spec.config().parameters["catalogue"].string_value = "changed"
    assert "catalogue" not in spec.config().parameters


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: 3 {", "not a Triton model configuration"),
        (MINIMAL.replace('name: "m"', 'name: "other"'), "name is 'other', its folder is 'm'"),
        (MINIMAL.replace("TYPE_FP32", "TYPE_BF16"), "tensor A has data type TYPE_BF16"),
        (MINIMAL.replace('"B"', '"A"'), "described twice among A, A"),
        (MINIMAL.replace("output", "#"), "at least one input and one output"),
        (MINIMAL + "no_such_field: 1", "no_such_field"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RepositoryError, match=complaint) as caught:
        read_model(written(tmp_path, text))
    assert "config.pbtxt" in str(caught.value)


def test_a_folder_without_models_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="holds no model"):
        read_repository(tmp_path)


def test_a_model_without_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="No such file"):
        read_model(tmp_path / "absent")


def test_our_repository_has_the_four_models_with_a_class_for_each_and_an_ensemble_of_them() -> None:
    specs = read_repository(CHECKOUT / "model_repo")
    assert set(specs) >= {"vad", "whisper", "opus_mt", "coqui_tts", "speech_to_speech"}
    assert {name for name, spec in specs.items() if not spec.steps} <= set(CLASSES)
    assert [step.model for step in specs["speech_to_speech"].steps] == ["whisper", "opus_mt", "coqui_tts"]


STAGE = """
name: "{name}" backend: "python" max_batch_size: 4
input [ {{ name: "IN", data_type: TYPE_FP32, dims: [ -1 ] }} ]
input [ {{ name: "HINT", data_type: TYPE_STRING, dims: [ 1 ], optional: true }} ]
output [ {{ name: "OUT", data_type: TYPE_FP32, dims: [ -1 ] }} ]
"""
ENSEMBLE = """
name: "all" platform: "ensemble" max_batch_size: 4
input [ { name: "X", data_type: TYPE_FP32, dims: [ -1 ] } ]
input [ { name: "H", data_type: TYPE_STRING, dims: [ 1 ], optional: true } ]
output [ { name: "Z", data_type: TYPE_FP32, dims: [ 8 ] } ]
ensemble_scheduling { step [
  { model_name: "a" input_map { key: "IN" value: "X" } output_map { key: "OUT" value: "Y" } },
  { model_name: "b" input_map { key: "IN" value: "Y" } input_map { key: "HINT" value: "H" }
    output_map { key: "OUT" value: "Z" } }
] }
"""


def repository(folder: Path, ensemble: str) -> Path:
    """Two models and an ensemble."""
    for name in ("a", "b"):
        written(folder, STAGE.format(name=name), name)
    written(folder, ensemble, "all")
    return folder


def test_the_steps_of_an_ensemble_are_read_from_its_scheduling_block(tmp_path: Path) -> None:
    first, second = read_repository(repository(tmp_path, ENSEMBLE))["all"].steps
    assert first == EnsembleStep("a", {"IN": "X"}, {"OUT": "Y"})
    assert second == EnsembleStep("b", {"IN": "Y", "HINT": "H"}, {"OUT": "Z"})


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('model_name: "b"', 'model_name: "c"', r"step 2 \(c\): there is no model c; the repository has a, all, b"),
        ('model_name: "b"', 'model_name: "all"', r"step 2 \(all\) has no output OUT; it has Z"),
        ('{ key: "HINT" value', '{ key: "HONT" value', r"step 2 \(b\) has no input HONT; it has IN, HINT"),
        ('input_map { key: "IN" value: "Y" }', "", r"step 2 \(b\) needs its input IN; map a tensor to it"),
        (
            '{ key: "IN" value: "Y" }',
            '{ key: "IN" value: "W" }',
            r"step 2 \(b\): nothing produces tensor W for its input IN",
        ),
        ('value: "Z"', 'value: "Y"', r"step 2 \(b\) produces tensor Y, which is there already"),
        ('value: "Z"', 'value: "V"', "no step produces output Z"),
        ('{ key: "IN" value: "X" }', '{ key: "IN" value: "Z" }', "the steps wait for each other: step . "),
        (
            'name: "Z", data_type: TYPE_FP32',
            'name: "Z", data_type: TYPE_FP64',
            "tensor Z is FP32, the ensemble's output Z has FP64",
        ),
        ("dims: [ 8 ]", "dims: [ 8, 2 ]", r"tensor Z has dims \[-1\], the ensemble's output Z has \[8, 2\]"),
        (
            'name: "X", data_type: TYPE_FP32',
            'name: "X", data_type: TYPE_INT8',
            "tensor X is INT8, its input IN has FP32",
        ),
        ("dims: [ -1 ] } ]", "dims: [ -1 ], optional: true } ]", r"step 1 \(a\) needs its input IN, but X is optional"),
        ("max_batch_size: 4", "max_batch_size: 9", r"step 1 \(a\) takes at most 4 rows; lower max_batch_size 9"),
        ('platform: "ensemble"', 'backend: "python"', 'ensemble_scheduling needs platform: "ensemble"'),
        ('model_name: "a"', 'model_name: "a" model_version: 3', "step a wants version 3; there is only 1"),
    ],
)
def test_an_ensemble_that_cannot_run_is_refused_with_its_step_and_tensor(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    assert old in ENSEMBLE
    with pytest.raises(RepositoryError, match=complaint) as caught:
        read_repository(repository(tmp_path, ENSEMBLE.replace(old, new)))
    assert "all/config.pbtxt" in str(caught.value)


def test_an_ensemble_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="needs an ensemble_scheduling block"):
        read_repository(repository(tmp_path, ENSEMBLE.split("ensemble_scheduling", maxsplit=1)[0]))


def test_ensembles_that_contain_each_other_are_refused(tmp_path: Path) -> None:
    mutual = ENSEMBLE.replace("dims: [ 8 ]", "dims: [ -1 ]").replace('model_name: "b"', 'model_name: "other"')
    mutual = mutual.replace('key: "IN" value: "Y"', 'key: "X" value: "Y"').replace('"HINT"', '"H"')
    mutual = mutual.replace('key: "OUT" value: "Z"', 'key: "Z" value: "Z"')
    folder = repository(tmp_path, mutual)
    written(
        folder,
        mutual.replace('name: "all"', 'name: "other"').replace('model_name: "other"', 'model_name: "all"'),
        "other",
    )
    with pytest.raises(RepositoryError, match=r"ensembles contain each other: (all -> other|other -> all)"):
        read_repository(folder)
