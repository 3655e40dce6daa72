"""config.pbtxt is the single source of tensors and batching."""

from pathlib import Path

import pytest

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


def test_our_repository_has_the_four_models_and_a_class_for_each() -> None:
    specs = read_repository(CHECKOUT / "model_repo")
    assert set(specs) >= {"vad", "whisper", "opus_mt", "coqui_tts"}
    assert set(specs) <= set(CLASSES)
