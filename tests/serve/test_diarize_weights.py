"""Weights of forced alignment and diarization: chosen by name, fetched with the folders of their repository."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from serve.app import missing, without_weights
from serve.catalogue import CatalogueEntry, load_catalogue
from serve.errors import Code, ModelError
from serve.models import BY_CHOICE, CLASSES, create
from serve.protocol.dataplane import DataPlane, InferenceRequest
from serve.published import weight_set
from serve.settings import CHECKOUT, ServeSettings
from serve.sources import fetch
from serve.sources.common import silent
from serve.weights import ensure, selection
from serve.weights_errors import CatalogueError, ConversionError, FetchError, VerificationError
from serve.weights_record import RECORD
from tests.serve.whisperx_models import PIPELINE
from tests.standins.hub import File, Hub

COMMITTED = load_catalogue(CHECKOUT / "model_repo" / "catalogue.toml")
COMMUNITY = COMMITTED.get("diarize-community-1")
SOURCE = "hf:pyannote/pipeline@main"
REPOSITORY = {
    "config.yaml": File(json.dumps(PIPELINE).encode()),
    "segmentation/pytorch_model.bin": File(b"s" * 999, lfs=True),
    "embedding/pytorch_model.bin": File(b"e" * 999, lfs=True),
    "plda/plda.npz": File(b"p", lfs=True),
    "plda/xvec_transform.npz": File(b"x", lfs=True),
    "README.md": File(b"#"),
    "embedding/README.md": File(b"#"),
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        server.repos["pyannote/pipeline"] = dict(REPOSITORY)
        yield server


def entry(**more: Any) -> CatalogueEntry:
    values = {"name": "d", "model": "diarize", "source": SOURCE, "convert": "pyannote", "files": COMMUNITY.files}
    licence = {"licence": "CC-BY-4.0", "licence_chain": "CC-BY-4.0: all", "paid_use": True}
    return CatalogueEntry.model_validate(values | licence | more)


def settings(**values: Any) -> ServeSettings:
    return ServeSettings(weights="starter", **values)


def test_a_pipeline_keeps_the_folders_it_has_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    folder = ensure(entry(), settings(weights_dir=tmp_path)).folder
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert names == sorted([*COMMUNITY.files, RECORD])
    assert (folder / "segmentation" / "pytorch_model.bin").read_bytes() == b"s" * 999
    record = json.loads((folder / RECORD).read_text())
    assert record["sha256"]["embedding/pytorch_model.bin"] == REPOSITORY["embedding/pytorch_model.bin"].sha256
    assert hub.count("GET", "README.md") == 0


def test_each_file_of_a_folder_has_a_promise_of_its_own(hub: Hub, tmp_path: Path) -> None:
    promised = {"embedding/pytorch_model.bin": REPOSITORY["embedding/pytorch_model.bin"].sha256}
    ensure(entry(sha256=promised), settings(weights_dir=tmp_path / "good"))
    broken = {"segmentation/pytorch_model.bin": promised["embedding/pytorch_model.bin"]}
    with pytest.raises(VerificationError, match=r"pytorch_model\.bin has sha256"):
        ensure(entry(sha256=broken), settings(weights_dir=tmp_path / "bad"))


def test_folders_are_fetched_only_where_a_pattern_names_them(hub: Hub, tmp_path: Path) -> None:
    fetched = fetch(SOURCE, tmp_path, entry(files=["*.md", "plda/*"]), silent)
    names = [path.relative_to(tmp_path).as_posix() for path in fetched.files]
    assert sorted(names) == ["README.md", "plda/plda.npz", "plda/xvec_transform.npz"]


@pytest.mark.parametrize("name", ["plda/../../evil", "../evil/plda.npz", "/plda/evil", "plda/..\\..\\evil/x"])
def test_a_repository_cannot_write_outside_its_folder(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.repos["pyannote/pipeline"] = {name: File(b"evil")}
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    patterns = ["/".join("*" for _ in name.split("/"))]
    with pytest.raises(FetchError, match="has none of the files"):
        fetch(SOURCE, folder, entry(files=patterns), silent)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_gated_repository_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("pyannote/pipeline")
    with pytest.raises(FetchError, match="d: pyannote/pipeline@main is gated: accept its terms on the hub and set HF_"):
        ensure(entry(), settings(weights_dir=tmp_path))
    assert not list(tmp_path.glob("d-*"))


def test_a_pipeline_with_a_part_missing_is_not_taken(hub: Hub, tmp_path: Path) -> None:
    del hub.repos["pyannote/pipeline"]["plda/plda.npz"]
    with pytest.raises(ConversionError, match=r"d: .*plda/plda\.npz is missing"):
        ensure(entry(), settings(weights_dir=tmp_path))
    del hub.repos["pyannote/pipeline"]["config.yaml"]
    with pytest.raises(ConversionError, match=r"d: it has no config\.yaml"):
        ensure(entry(), settings(weights_dir=tmp_path / "again"))


def test_no_set_loads_them_and_settings_choose_them_by_name() -> None:
    assert {item.model for item in selection(settings())} == {"whisper", "opus_mt", "coqui_tts"}
    chosen = selection(settings(align=["align-en", "align-de"], diarize="diarize-community-1"))
    assert [item.name for item in chosen if item.model in BY_CHOICE] == ["align-en", "align-de", "diarize-community-1"]
    with pytest.raises(CatalogueError, match="OCTAVIA_ALIGN names 'whisper-base', which is weights of whisper"):
        selection(settings(align=["whisper-base"]))
    with pytest.raises(CatalogueError, match="OCTAVIA_DIARIZE names 'align-en', which is weights of align"):
        selection(settings(diarize="align-en"))


def test_a_model_without_weights_says_which_setting_names_them() -> None:
    assert without_weights(CLASSES, selection(settings()))[:2] == ["align", "diarize"]
    assert without_weights(CLASSES, selection(settings(align=["align-en"])))[:1] == ["diarize"]
    assert "set OCTAVIA_DIARIZE" in missing(settings(), "diarize")
    paid = settings(billing=True, diarize="diarize-community-1")
    assert without_weights(["diarize"], selection(paid)) == ["diarize"]
    assert "not cleared for paid use" in missing(paid, "diarize")


def test_nothing_waits_for_a_model_without_weights() -> None:
    async def asked() -> None:
        plane = DataPlane({}, {}, absent={"align": "no weights"})
        assert await plane.ready()
        assert await plane.index(only_ready=True) == []
        assert await plane.index(only_ready=False) == [("align", "1", "UNAVAILABLE", "no weights")]
        with pytest.raises(ModelError, match="model 'align' is not served: no weights") as refused:
            await plane.infer(InferenceRequest("align", "", "", []))
        assert refused.value.code == Code.NOT_FOUND
        assert refused.value.retry_after_s is None

    asyncio.run(asked())


def test_an_entry_has_what_its_model_needs_and_belongs_to_no_set() -> None:
    aligner = {"model": "align", "convert": "none"}
    with pytest.raises(ValidationError, match="an align entry needs languages with exactly one language"):
        entry(**aligner)
    with pytest.raises(ValidationError, match="diarize entries are chosen by name and belong to no set"):
        entry(sets=["standard"])
    assert weight_set(
        ensure(entry(**aligner, languages=["en-US"], source=f"file:{CHECKOUT}/serve"), settings())
    ).facts == {
        "name": "d",
        "licence": "CC-BY-4.0",
        "licence_chain": ["CC-BY-4.0: all"],
        "paid_use": True,
        "starter": False,
        "attribution": "",
        "language": "en-US",
    }


def test_the_catalogue_aligns_the_main_languages_and_clears_only_what_is_known() -> None:
    aligners = {item.language: item for item in COMMITTED.entries if item.model == "align"}
    assert set(aligners) >= {"en", "de", "es", "fr", "it", "nl", "pl", "pt", "sv", "uk"}
    assert all(not item.paid_use for item in aligners.values() if "unknown" in " ".join(item.licence_chain))
    assert not aligners["da"].paid_use
    assert not COMMUNITY.paid_use
    assert len(COMMUNITY.sources[0].partition("@")[2]) == 40


def test_separation_comes_from_torchaudio_and_is_not_cleared_for_paid_use() -> None:
    separators = [item for item in COMMITTED.entries if item.model == "separate"]
    assert [item.sources[0].partition(":")[0] for item in separators] == ["torchaudio", "torchaudio"]
    assert not any(item.paid_use for item in separators)
    chosen = selection(settings(separate=separators[0].name))
    assert chosen[-1] == separators[0]
    with pytest.raises(CatalogueError, match="OCTAVIA_SEPARATE names 'align-en', which is weights of align"):
        selection(settings(separate="align-en"))


def test_the_classes_are_found_by_the_names_of_their_models() -> None:
    for model in BY_CHOICE:
        with pytest.raises(ValueError, match=BY_CHOICE[model]):
            create(model, {}, [])
