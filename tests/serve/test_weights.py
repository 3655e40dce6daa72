"""From an entry to a folder: once, whole or not at all, whatever happens in between."""

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from serve import convert
from serve.catalogue import CatalogueEntry, load_catalogue
from serve.settings import CHECKOUT, ServeSettings, get_settings
from serve.weights import STARTER_NOTICE, choose_set, ensure, folder_name, selection
from serve.weights_errors import (
    CatalogueError,
    ConversionError,
    StorageError,
    VerificationError,
)
from serve.weights_record import RECORD
from tests.standins.hub import COMMIT, File, Hub

STARTER = CHECKOUT / "model_repo" / "starter" / "opus-mt-en-es"
ENSURE = """
import sys
from pathlib import Path
from serve.catalogue import load_catalogue
from serve.settings import ServeSettings
from serve.weights import ensure
(entry,) = load_catalogue(Path(sys.argv[1])).entries
seen = []
ensure(entry, ServeSettings(weights_dir=Path(sys.argv[2])), lambda what, *_: seen.append(what))
print("made" if "converting x" in seen else "waited")
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


def entry(source: str | list[str], **more: object) -> CatalogueEntry:
    values = {"name": "x", "model": "whisper", "source": source, "languages": ["en"], "licence": "MIT"}
    return CatalogueEntry.model_validate(values | {"licence_chain": "MIT: all", "paid_use": True} | more)


def at(root: Path, **values: object) -> ServeSettings:
    """Settings with that weights folder."""
    return ServeSettings.model_validate({"weights": "starter", "weights_dir": root} | values)


def visible(root: Path) -> list[str]:
    """What anyone would take for weights."""
    return sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) if root.exists() else []


def marian_catalogue(folder: Path, source: str) -> Path:
    """A catalogue of one Opus-MT entry named x."""
    path = folder / "catalogue.toml"
    path.write_text(
        f"""[[weights]]
name = "x"
model = "opus_mt"
convert = "marian"
source = "{source}"
source_language = "en"
target_language = "es"
licence = "CC-BY-4.0"
licence_chain = "CC-BY-4.0: all"
paid_use = true
"""
    )
    return path


def start(catalogue: Path, root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ENSURE, str(catalogue), str(root)],
        cwd=CHECKOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_weights_of_the_hub_become_a_folder_with_a_record_of_what_they_are(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m" * 999, lfs=True), "config.json": File(b"{}")}
    weights = ensure(entry("hf:o/r@main"), at(tmp_path))
    assert (weights.folder / "model.bin").read_bytes() == b"m" * 999
    record = json.loads((weights.folder / RECORD).read_text())
    assert record["revisions"] == {"hf:o/r@main": COMMIT}
    assert record["sha256"]["model.bin"] == stand_in.repos["o/r"]["model.bin"].sha256
    assert visible(tmp_path) == [weights.folder.name]


@pytest.mark.parametrize("source", ["hf:o/r@main", "file:mine"])
def test_weights_in_folders_keep_them_and_are_verified_there(stand_in: Hub, tmp_path: Path, source: str) -> None:
    contents = {"config.yaml": b"c", "embedding/model.bin": b"e", "segmentation/model.bin": b"s"}
    stand_in.repos["o/r"] = {name: File(content) for name, content in contents.items()}
    for name, content in contents.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(content)
    files, convert = ["config.yaml", "*/model.bin"], "join"
    good = {"embedding/model.bin": hashlib.sha256(b"e").hexdigest()}
    weights = ensure(entry(source, base=tmp_path, files=files, convert=convert, sha256=good), at(tmp_path / "root"))
    assert {name: (weights.folder / name).read_bytes() for name in contents} == contents
    assert set(json.loads((weights.folder / RECORD).read_text())["sha256"]) == set(contents)
    wrong = entry(source, base=tmp_path, files=files, convert=convert, sha256={"embedding/model.bin": "0" * 64})
    with pytest.raises(VerificationError, match="expected 0000"):
        ensure(wrong, at(tmp_path / "root"))


def test_weights_that_are_there_need_no_hub(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m")}
    first = ensure(entry("hf:o/r@main"), at(tmp_path))
    asked = len(stand_in.requests)
    assert ensure(entry("hf:o/r@main"), at(tmp_path)) == first
    assert len(stand_in.requests) == asked


def test_a_changed_entry_is_another_folder_and_the_same_entry_is_not(tmp_path: Path) -> None:
    base = folder_name(entry("hf:o/r@main"))
    assert base == folder_name(entry("hf:o/r@main", licence="Apache-2.0", attribution="them"))
    changed = [
        folder_name(entry("hf:o/r@v2")),
        folder_name(entry("hf:o/r@main", files="*.bin")),
        folder_name(entry("hf:o/r@main", convert="join")),
        folder_name(entry("hf:o/r@main", sha256={"model.bin": "0" * 64})),
    ]
    assert len({base, *changed}) == 5


def test_a_retrained_local_model_is_another_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.bin").write_bytes(b"one")
    local = entry("file:model", convert="join", base=tmp_path)
    before = folder_name(local)
    (tmp_path / "model" / "a.bin").write_bytes(b"two")
    assert folder_name(local) != before


def test_a_new_version_of_a_converter_converts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = folder_name(entry("hf:o/r@main"))
    version, function = convert.CONVERTERS["none"]
    monkeypatch.setitem(convert.CONVERTERS, "none", (version + 1, function))
    assert folder_name(entry("hf:o/r@main")) != before


@pytest.mark.parametrize("hashes", [{"model.bin": "0" * 64}, {"model.bin.part1": "0" * 64}])
def test_a_wrong_hash_is_refused_and_nothing_is_visible(stand_in: Hub, tmp_path: Path, hashes: dict[str, str]) -> None:
    stand_in.repos["o/r"] = {"model.bin.part1": File(b"a"), "model.bin.part2": File(b"b")}
    with pytest.raises(VerificationError, match="expected 0000"):
        ensure(entry("hf:o/r@main", convert="join", sha256=hashes), at(tmp_path))
    assert visible(tmp_path) == []


def test_a_hash_for_a_file_that_never_comes_is_a_mistake_of_the_catalogue(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"a")}
    with pytest.raises(CatalogueError, match=r"sha256 names 'modell\.bin'"):
        ensure(entry("hf:o/r@main", sha256={"modell.bin": "0" * 64}), at(tmp_path))
    assert visible(tmp_path) == []


def test_parts_of_several_sources_are_joined_in_order(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"p{number}").mkdir()
        (tmp_path / f"p{number}" / f"model.bin.part{number}").write_bytes(b"%d," % number)
    sources = [f"file:p{number}" for number in range(1, 12)]
    weights = ensure(entry(sources, convert="join", base=tmp_path), at(tmp_path / "root"))
    assert (weights.folder / "model.bin").read_bytes() == b"1,2,3,4,5,6,7,8,9,10,11,"


def test_a_missing_part_is_said(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "model.bin.part2").write_bytes(b"b")
    with pytest.raises(ConversionError, match=r"model\.bin has the parts \[2\]"):
        ensure(entry("file:p", convert="join", base=tmp_path), at(tmp_path / "root"))
    assert visible(tmp_path / "root") == []


def test_a_local_folder_that_needs_nothing_is_used_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    weights = ensure(entry("file:mine", base=tmp_path), at(tmp_path / "root"))
    assert weights.folder == tmp_path / "mine"
    assert visible(tmp_path / "root") == []


def test_what_arrived_before_a_failure_is_not_fetched_again(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"a.bin": File(b"a" * 99, lfs=True), "b.bin": File(b"b" * 99, lfs=True)}
    stand_in.repos["o/r"]["b.bin"].sent = b"x" * 99
    with pytest.raises(VerificationError):
        ensure(entry("hf:o/r@main"), at(tmp_path))
    assert visible(tmp_path) == []
    stand_in.repos["o/r"]["b.bin"].sent = None
    weights = ensure(entry("hf:o/r@main"), at(tmp_path))
    assert (weights.folder / "b.bin").read_bytes() == b"b" * 99
    assert stand_in.count("GET", "/cdn/o/r/a.bin") == 1
    assert not any((tmp_path / ".work").iterdir())


@pytest.mark.parametrize("weights_file", ["model.safetensors", "pytorch_model.bin"])
def test_opus_mt_of_the_hub_becomes_ctranslate2_int8_with_its_tokenizer(
    stand_in: Hub, tmp_path: Path, weights_file: str
) -> None:
    files = {path.name: path.read_bytes() for path in STARTER.iterdir()}
    if weights_file == "pytorch_model.bin":
        torch.save(load(files.pop("model.safetensors")), tmp_path / "pytorch_model.bin")
        files["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    stand_in.repos["o/r"] = {name: File(content, lfs=name == weights_file) for name, content in files.items()}
    (item,) = load_catalogue(marian_catalogue(tmp_path, "hf:o/r@main")).entries
    weights = ensure(item, at(tmp_path / "root"))
    names = {path.name for path in weights.folder.iterdir()}
    assert {"model.bin", "config.json", "source.spm", "target.spm", "vocab.json", RECORD} <= names
    assert weights_file not in names
    assert (weights.folder / "model.bin").stat().st_size < 700_000


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda folder: (folder / "vocab.json").unlink(), "vocab.json missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors or pytorch_model.bin missing"),
        (lambda folder: (folder / "vocab.json").write_text("{"), "vocab.json is not JSON"),
    ],
)
def test_what_is_no_opus_mt_model_is_said_so(tmp_path: Path, spoil: object, complaint: str) -> None:
    assert callable(spoil)
    shutil.copytree(STARTER, tmp_path / "m")
    spoil(tmp_path / "m")
    (item,) = load_catalogue(marian_catalogue(tmp_path, "file:m")).entries
    with pytest.raises(ConversionError, match=complaint):
        ensure(item, at(tmp_path / "root"))
    assert visible(tmp_path / "root") == []


def test_a_target_token_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    item = entry(
        f"file:{STARTER}",
        model="opus_mt",
        source_language="en",
        target_language="pt",
        target_token=">>por<<",
        convert="marian",
    )
    with pytest.raises(ConversionError, match="does not know the token '>>por<<'"):
        ensure(item, at(tmp_path))


@pytest.mark.soak
def test_a_conversion_killed_in_the_middle_leaves_nothing_and_is_redone(tmp_path: Path) -> None:
    catalogue = marian_catalogue(tmp_path, f"file:{STARTER}")
    root = tmp_path / "root"
    victim = start(catalogue, root)
    while not list(root.glob(".work/*/build")):
        assert victim.poll() is None
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=60)
    assert visible(root) == []
    (item,) = load_catalogue(catalogue).entries
    weights = ensure(item, at(root))
    assert (weights.folder / "model.bin").exists()
    assert not any((root / ".work").iterdir())


def test_a_full_disk_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "model.bin.part1").write_bytes(b"a")
    monkeypatch.setitem(convert.CONVERTERS, "join", (1, full))
    item = entry("file:p", convert="join", base=tmp_path, download_bytes=100_000_000)
    with pytest.raises(StorageError, match=r"is full; free some space \(about 300 MB\) or set OCTAVIA_WEIGHTS_DIR"):
        ensure(item, at(tmp_path / "root"))
    assert visible(tmp_path / "root") == []


def test_a_weights_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("not a folder")
    with pytest.raises(StorageError, match="OCTAVIA_WEIGHTS_DIR"):
        ensure(entry("hf:o/r@main"), at(tmp_path / "root"))


# ---- choice of set


def settings(**values: object) -> ServeSettings:
    return ServeSettings.model_validate({"weights": "starter"} | values)


def test_auto_takes_the_standard_set_where_the_hub_answers(stand_in: Hub) -> None:
    assert choose_set("auto", timeout_s=2.0) == "standard"


def test_auto_falls_back_to_the_starter_set_with_a_plain_notice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        assert choose_set("auto", timeout_s=1.0) == "starter"
    assert STARTER_NOTICE in caplog.text


def test_a_set_asked_for_is_taken_without_asking_the_hub(stand_in: Hub) -> None:
    assert (choose_set("standard"), choose_set("starter")) == ("standard", "starter")
    assert stand_in.requests == []
    with pytest.raises(CatalogueError, match="auto, standard or starter"):
        choose_set("best")


def test_the_standard_set_loads_the_wanted_languages_only() -> None:
    chosen = selection(settings(weights="standard", languages=["en", "uk"]))
    names = {item.name for item in chosen}
    assert names == {"faster-whisper-base", "opus-mt-en-uk", "opus-mt-uk-en", "en-ljspeech", "uk-mai"}
    everything = selection(settings(weights="standard", languages=["*"]))
    assert len(everything) > 50


def test_another_whisper_can_be_chosen_by_name() -> None:
    chosen = selection(settings(whisper="faster-whisper-small"))
    assert [item.name for item in chosen if item.model == "whisper"] == ["faster-whisper-small"]
    with pytest.raises(CatalogueError, match="which is weights of coqui_tts"):
        selection(settings(whisper="en-joe"))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OCTAVIA_WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setenv("OCTAVIA_ALLOW_WEIGHTS", '["en-joe"]')
    monkeypatch.setenv("OCTAVIA_SERVE_GRPC_PORT", "9101")
    get_settings.cache_clear()
    read = get_settings()
    get_settings.cache_clear()
    assert (read.weights_dir, read.allow_weights, read.serve_grpc_port) == (tmp_path, ["en-joe"], 9101)
    undocumented = [name for name, field in ServeSettings.model_fields.items() if not field.description]
    assert undocumented == []
