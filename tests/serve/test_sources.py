"""Downloads against a stand-in hub that cuts, lies and is busy."""

import importlib.util
import json
import random
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from serve import sources
from serve.catalogue import CatalogueEntry, load_catalogue
from serve.settings import CHECKOUT, get_settings
from serve.sources import coqui, hub, pace, pypi, torchaudio
from serve.sources import download as downloads
from serve.sources.common import silent
from serve.sources.download import download
from serve.weights_errors import FetchError, VerificationError
from tests.standins.hub import COMMIT, GOOD_TOKEN, File, Hub

BIG = random.Random(0).randbytes(11_500_000)  # over the 10 MiB that huggingface_hub writes at once


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("OCTAVIA_COQUI_MIRROR", server.url)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(pace, "FIRST_WAIT_S", 0.01)
        get_settings.cache_clear()
        yield server
    get_settings.cache_clear()


def entry(source: str, **more: object) -> CatalogueEntry:
    values = {"name": "thing", "model": "whisper", "source": source, "languages": ["en"], "licence": "MIT"}
    return CatalogueEntry.model_validate(values | {"licence_chain": "MIT: all", "paid_use": True} | more)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


# ---- hf:


def test_the_hub_is_asked_for_the_wanted_files_at_the_commit_the_revision_means(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {
        "config.json": File(b"{}"),
        "model.bin": File(b"m" * 999, lfs=True),
        "README.md": File(b"#"),
    }
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main", files=["*.json", "model.bin"]), silent)
    assert fetched.revision == COMMIT
    assert {path.name: path.read_bytes() for path in fetched.files} == {"config.json": b"{}", "model.bin": b"m" * 999}
    assert stand_in.count("GET", "README.md") == 0


def test_safetensors_are_preferred_where_a_repository_has_its_weights_twice(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"pytorch_model.bin": File(b"p", lfs=True), "model.safetensors": File(b"s", lfs=True)}
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert [path.name for path in fetched.files] == ["model.safetensors"]


def test_files_in_folders_of_a_repository_are_asked_for_by_folder_and_keep_their_path(
    stand_in: Hub, tmp_path: Path
) -> None:
    names = ["config.yaml", "embedding/model.bin", "embedding/notes.md", "plda/model.bin", "model.bin"]
    stand_in.repos["o/r"] = {name: File(name.encode(), lfs=name.endswith(".bin")) for name in names}
    wanted = entry("hf:o/r@main", files=["config.yaml", "embedding/*.bin", "p*/model.bin"])
    fetched = sources.fetch("hf:o/r@main", tmp_path, wanted, silent)
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes().decode() for path in fetched.files}
    assert found == {name: name for name in ["config.yaml", "embedding/model.bin", "plda/model.bin"]}


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "a//evil", "a/./evil", "..\\evil", ".cache/evil"])
def test_a_repository_cannot_write_outside_its_folder(stand_in: Hub, tmp_path: Path, name: str) -> None:
    stand_in.repos["o/r"] = {"good": File(b"good"), name: File(b"evil")}
    everything = entry("hf:o/r@main", files=["*", "*/*", "*/*/*", "*/*/*/*"])
    fetched = sources.fetch("hf:o/r@main", tmp_path / "in", everything, silent)
    assert [path.name for path in fetched.files] == ["good"]
    assert not [path for path in tmp_path.rglob("*") if path.name.endswith("evil")]


def test_a_cut_hub_download_goes_on_where_it_stopped(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(BIG, lfs=True, cuts=[11_000_000])}
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert fetched.files[0].read_bytes() == BIG
    first, *rest = stand_in.ranges("model.bin")
    assert first is None
    assert rest
    assert all(value and value != "bytes=0-" for value in rest)


def test_a_hub_whose_content_server_ignores_ranges_sends_the_file_again(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(BIG, lfs=True, cuts=[11_000_000], ranges=False)}
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert fetched.files[0].read_bytes() == BIG


def test_a_hub_file_that_changes_under_the_download_is_refused_and_right_the_next_time(
    stand_in: Hub, tmp_path: Path
) -> None:
    file = stand_in.repos["o/r"] = {"model.bin": File(BIG, lfs=True, cuts=[11_000_000], changes=[BIG[::-1]])}
    with pytest.raises(VerificationError, match="not what the hub declares; it was removed, try again"):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert not (tmp_path / "model.bin").exists()
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert fetched.files[0].read_bytes() == file["model.bin"].content == BIG[::-1]


def test_a_renamed_repository_is_found_under_its_new_name(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.renamed["old/r"] = "new/r"
    stand_in.repos["new/r"] = {"model.bin": File(b"m" * 99, lfs=True), "config.json": File(b"{}")}
    fetched = sources.fetch("hf:old/r@main", tmp_path, entry("hf:old/r@main"), silent)
    assert {path.name: path.read_bytes() for path in fetched.files} == {"model.bin": b"m" * 99, "config.json": b"{}"}


def test_the_hub_is_told_the_token_and_the_host_it_redirects_to_is_not(
    stand_in: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    stand_in.repos["o/r"] = {"model.bin": File(b"m" * 999, lfs=True, gated=True)}
    sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    told = {(seen.host, seen.headers.get("authorization")) for seen in stand_in.seen}
    assert told == {("127.0.0.1", f"Bearer {GOOD_TOKEN}"), ("localhost", None)}


@pytest.mark.parametrize("token", [None, "hf_of_somebody_else"])
def test_a_gated_model_is_asked_for_once_and_said_to_be_gated(
    stand_in: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    stand_in.repos["o/r"] = {"model.bin": File(b"m" * 999, lfs=True, gated=True)}
    with pytest.raises(FetchError, match="thing: o/r@main is gated: accept its terms on the hub and set HF_TOKEN"):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert stand_in.count("HEAD", "model.bin") == 1
    assert not (tmp_path / "model.bin").exists()


@pytest.mark.parametrize(
    ("status", "asked", "complaint"),
    [
        (403, 1, r"was refused by http://127.0.0.1:\d+ \(403\): check that HF_TOKEN is valid"),
        (429, 4, r"was put off by http://127.0.0.1:\d+ \(429, too many requests\): try again later"),
        (500, 4, r"could not be fetched from http://127.0.0.1:\d+ \(answered 500\): check the network"),
    ],
)
def test_a_hub_that_goes_on_refusing_is_asked_so_often_and_its_answer_told(
    stand_in: Hub, tmp_path: Path, status: int, asked: int, complaint: str
) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m")}
    stand_in.status = [status] * 9
    with pytest.raises(FetchError, match=complaint):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert len(stand_in.requests) == asked


def test_a_hub_that_is_down_for_a_moment_is_asked_again_when_it_said(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m" * 999, lfs=True)}
    stand_in.status, stand_in.retry_after = [503, 429], "1"
    fetched = sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert fetched.files[0].read_bytes() == b"m" * 999
    first, second, third = [seen.at for seen in stand_in.seen if seen.path.startswith("/api/")]
    assert second - first >= 1.0
    assert third - second >= 1.0


def test_the_progress_of_a_hub_download_rises_to_the_size_of_all_files(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"a.bin": File(BIG, lfs=True), "b.json": File(b"{}")}
    seen: list[tuple[int, int | None]] = []
    sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), lambda _what, done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {len(BIG) + 2}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert any(0 < done < len(BIG) for done, _ in seen)
    assert seen[-1][0] == len(BIG) + 2


def test_a_hub_says_the_size_and_whether_its_branch_has_moved_and_a_pinned_commit_never_does(stand_in: Hub) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m" * 999, lfs=True), "README.md": File(b"#")}
    thing = entry("hf:o/r@main", files="*.bin")
    assert sources.size("hf:o/r@main", thing) == 999
    assert sources.moved("hf:o/r@main", COMMIT, thing) is None
    stand_in.commit = "d" * 40
    assert sources.moved("hf:o/r@main", COMMIT, thing) == "d" * 40
    asked = len(stand_in.requests)
    assert sources.moved(f"hf:o/r@{COMMIT}", COMMIT, thing) is None
    assert len(stand_in.requests) == asked


@pytest.mark.parametrize("lfs", [True, False])
def test_content_that_is_not_what_the_hub_declares_is_refused_and_removed(
    stand_in: Hub, tmp_path: Path, lfs: bool
) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"good" * 100, lfs=lfs, sent=b"evil" * 100)}
    with pytest.raises(VerificationError, match="not what the hub declares"):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert not (tmp_path / "model.bin").exists()


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("hf:o/unknown@main", "does not exist on the hub, or needs HF_TOKEN"),
        ("hf:o/r@v9", "has no such revision"),
    ],
)
def test_what_the_hub_does_not_have_is_said_at_once(stand_in: Hub, tmp_path: Path, source: str, complaint: str) -> None:
    stand_in.repos["o/r"] = {"model.bin": File(b"m")}
    with pytest.raises(FetchError, match=complaint):
        sources.fetch(source, tmp_path, entry(source), silent)
    assert len(stand_in.requests) == 1


def test_a_repository_without_the_wanted_files_is_said_so(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.repos["o/r"] = {"README.md": File(b"#")}
    with pytest.raises(FetchError, match=r"none of the files \*\.bin"):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main", files="*.bin"), silent)


def test_an_unreachable_hub_is_named_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "ATTEMPTS", 1)
    with pytest.raises(FetchError, match=r"http://127.0.0.1:9 .*check the network and try again"):
        sources.fetch("hf:o/r@main", tmp_path, entry("hf:o/r@main"), silent)
    assert not hub.hub_answers(1.0)


def test_a_hub_answers_or_does_not(stand_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.hub_answers(2.0)
    stand_in.delay_s = 1.0
    assert not hub.hub_answers(0.1)
    stand_in.delay_s = 0.0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not hub.hub_answers(2.0)


# ---- our own download


def test_a_download_cut_twice_arrives_whole_by_ranges(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/f.bin"] = File(BIG[:900_000], cuts=[300_000, 500_000])
    seen: list[int] = []
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=lambda _what, done, _total: seen.append(done))
    assert (tmp_path / "f").read_bytes() == BIG[:900_000]
    assert stand_in.ranges("f.bin") == [None, "bytes=300000-", "bytes=800000-"]
    assert seen == sorted(seen)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_later_process_continues_what_an_earlier_one_left(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/f.bin"] = File(BIG[:9000], cuts=[4000])
    with pytest.raises(FetchError, match="what has arrived is kept"):
        download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent, attempts=1)
    assert not (tmp_path / "f").exists()
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == BIG[:9000]
    assert stand_in.ranges("f.bin") == [None, "bytes=4000-"]


def test_a_file_that_changed_in_between_is_fetched_from_its_beginning(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/f.bin"] = File(b"old" * 1000, cuts=[1500])
    with pytest.raises(FetchError):
        download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent, attempts=1)
    stand_in.files["/f.bin"] = File(b"new" * 1200)
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == b"new" * 1200


def test_a_file_that_changes_under_the_download_is_fetched_from_its_beginning(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/f.bin"] = File(b"old" * 1000, cuts=[1500], changes=[b"new" * 1000])
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == b"new" * 1000


def test_a_server_that_ignores_ranges_sends_everything_again(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/f.bin"] = File(BIG[:9000], cuts=[4000], ranges=False)
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == BIG[:9000]


def test_redirects_are_followed_relative_and_to_another_host_but_not_in_a_circle(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/far/f.bin"] = File(b"x" * 99)
    stand_in.redirects |= {"/a": "b", "/b": f"{stand_in.cdn}/far/f.bin", "/round": "/round"}
    download(f"{stand_in.url}/a", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == b"x" * 99
    assert [seen.host for seen in stand_in.seen] == ["127.0.0.1", "127.0.0.1", "localhost"]
    with pytest.raises(FetchError, match="redirect"):
        download(f"{stand_in.url}/round", tmp_path / "g", what="g", progress=silent)


def test_a_server_that_falls_silent_is_left_and_asked_for_the_rest(
    stand_in: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT", 0.3)
    stand_in.files["/f.bin"] = File(BIG[:9000], stalls=[4000])
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == BIG[:9000]
    assert stand_in.ranges("f.bin") == [None, "bytes=4000-"]


def test_a_server_that_sends_so_slowly_that_it_would_never_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("serve.sources.pace.time.monotonic", lambda: now[0])
    slow, fast = pace.Pace(), pace.Pace()
    for _ in range(59):
        now[0] += 1.0
        assert not slow.too_slow(10)
        assert not fast.too_slow(10_000)
    now[0] += 1.0
    assert slow.too_slow(10)
    assert not fast.too_slow(10_000)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("7", 7.0),
        ("86400", 60.0),
        ("9" * 400, 60.0),
        ("soon", 0.0),
        ("²", 0.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999999", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60.0),
    ],
)
def test_a_server_may_ask_for_a_minute_of_patience(header: str | None, seconds: float) -> None:
    assert pace.asked_wait_s(header) == seconds


def test_a_file_that_is_already_whole_is_only_renamed(stand_in: Hub, tmp_path: Path) -> None:
    file = stand_in.files["/f.bin"] = File(b"x" * 100)
    (tmp_path / "f.partial").write_bytes(file.content)
    (tmp_path / "f.partial.json").write_text(json.dumps(file.mark))
    download(f"{stand_in.url}/f.bin", tmp_path / "f", what="f", progress=silent)
    assert (tmp_path / "f").read_bytes() == file.content


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files["/busy"] = File(b"ok", status=[503, 429], retry_after="1")
    download(f"{stand_in.url}/busy", tmp_path / "busy", what="busy", progress=silent)
    first, second, third = [seen.at for seen in stand_in.seen]
    assert min(second - first, third - second) >= 1.0
    with pytest.raises(FetchError, match="answered 404"):
        download(f"{stand_in.url}/absent", tmp_path / "absent", what="absent", progress=silent)
    assert stand_in.count("GET", "absent") == 1


# ---- coqui:

VOICE = "tts_models/en/ljspeech/vits"
ARCHIVE = "/coqui-ai/TTS/releases/download/v0.6.1_models/tts_models--en--ljspeech--vits.zip"


def test_a_coqui_voice_is_resolved_through_the_installed_list_and_unpacked(stand_in: Hub, tmp_path: Path) -> None:
    content = zipped({"voice/model_file.pth": b"weights", "voice/config.json": b"{}", "voice/": b""})
    stand_in.files[ARCHIVE] = File(content, cuts=[20])
    fetched = sources.fetch(f"coqui:{VOICE}", tmp_path, entry(f"coqui:{VOICE}"), silent)
    assert {path.name: path.read_bytes() for path in fetched.files} == {"model.pth": b"weights", "config.json": b"{}"}
    assert stand_in.ranges(".zip") == [None, "bytes=20-"]
    assert list(fetched.sha256) == ["tts_models--en--ljspeech--vits.zip"]


@pytest.mark.parametrize("name", ["../../evil.pth", "/etc/evil.pth", "a/../../../evil.pth", "..\\..\\evil.pth"])
def test_an_archive_cannot_write_outside_its_folder(stand_in: Hub, tmp_path: Path, name: str) -> None:
    stand_in.files[ARCHIVE] = File(zipped({name: b"x", "config.json": b"{}"}))
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    fetched = sources.fetch(f"coqui:{VOICE}", folder, entry(f"coqui:{VOICE}"), silent)
    assert all(path.parent == folder for path in fetched.files)
    assert [path for path in tmp_path.rglob("*evil*") if path.parent != folder] == []


def test_an_archive_that_is_none_is_removed(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files[ARCHIVE] = File(b"<html>not here</html>")
    with pytest.raises(VerificationError, match="not an intact zip archive"):
        sources.fetch(f"coqui:{VOICE}", tmp_path, entry(f"coqui:{VOICE}"), silent)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_with_another_hash_than_the_catalogues_is_removed(stand_in: Hub, tmp_path: Path) -> None:
    stand_in.files[ARCHIVE] = File(zipped({"config.json": b"{}"}))
    wrong = entry(f"coqui:{VOICE}", sha256={"tts_models--en--ljspeech--vits.zip": "0" * 64})
    with pytest.raises(VerificationError, match="expected 0000"):
        sources.fetch(f"coqui:{VOICE}", tmp_path, wrong, silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tts_models/en/nobody/vits", "tts_models/xx/css10/vits", "tts_models/sr/custom/vits"])
def test_a_voice_coqui_does_not_offer_is_said_so(name: str) -> None:
    with pytest.raises(FetchError, match="no downloadable"):
        coqui.resolve(name, "thing")


# ---- pypi:


WHEEL = "octavia_test_data-1.0-py3-none-any.whl"


@pytest.fixture
def index(stand_in: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A package index with one wheel, which pip is told to use and nothing else."""
    info = "octavia_test_data-1.0.dist-info"
    wheel = zipped(
        {
            "octavia_test_data/__init__.py": b"raise SystemExit",
            "octavia_test_data/data/model.bin": b"weights",
            "octavia_test_data/data/notes.txt": b"no",
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: octavia-test-data\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
    )
    file = stand_in.files[f"/packages/{WHEEL}"] = File(wheel)
    page = f'<a href="{stand_in.cdn}/packages/{WHEEL}#sha256={file.sha256}">{WHEEL}</a>'
    stand_in.files["/simple/octavia-test-data/"] = File(page.encode(), type="text/html")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", f"{stand_in.url}/simple")
    return stand_in


def test_files_are_taken_out_of_a_wheel_of_the_index_without_installing_it(index: Hub, tmp_path: Path) -> None:
    wanted = entry("pypi:octavia-test-data==1.0", files="*.bin")
    fetched = sources.fetch("pypi:octavia-test-data==1.0", tmp_path, wanted, silent)
    assert [(path.name, path.read_bytes()) for path in fetched.files] == [("model.bin", b"weights")]
    assert list(tmp_path.iterdir()) == list(fetched.files)


def test_files_in_a_wheel_may_be_asked_for_by_their_folder(index: Hub, tmp_path: Path) -> None:
    wanted = entry("pypi:octavia-test-data==1.0", files="octavia_test_data/data/*.txt")
    fetched = sources.fetch("pypi:octavia-test-data==1.0", tmp_path, wanted, silent)
    assert [path.relative_to(tmp_path).as_posix() for path in fetched.files] == ["notes.txt"]
    elsewhere = entry("pypi:octavia-test-data==1.0", files="data/*.txt")
    with pytest.raises(FetchError, match="has none of the files"):
        sources.fetch("pypi:octavia-test-data==1.0", tmp_path, elsewhere, silent)


def test_a_wheel_with_another_hash_than_the_catalogues_or_the_indexs_is_refused(index: Hub, tmp_path: Path) -> None:
    spoiled = entry("pypi:octavia-test-data==1.0", sha256={WHEEL: "1" * 64})
    with pytest.raises(VerificationError, match="expected 1111"):
        sources.fetch("pypi:octavia-test-data==1.0", tmp_path, spoiled, silent)
    index.files[f"/packages/{WHEEL}"].sent = zipped({"octavia_test_data/data/model.bin": b"evil"})
    with pytest.raises(FetchError, match=r"pip could not download octavia-test-data==1\.0.*[Hh]ash"):
        sources.fetch("pypi:octavia-test-data==1.0", tmp_path, entry("pypi:octavia-test-data==1.0"), silent)
    assert list(tmp_path.iterdir()) == []


def test_a_version_the_index_does_not_have_is_said_so(index: Hub, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"pip could not download octavia-test-data==2\.0"):
        pypi.fetch("octavia-test-data==2.0", tmp_path, entry("pypi:octavia-test-data==2.0"), silent)


# ---- file:


def test_a_file_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    lost = entry("file:nowhere", base=tmp_path)
    with pytest.raises(FetchError, match="nowhere does not exist"):
        sources.fetch("file:nowhere", tmp_path, lost, silent)


# ---- torchaudio:


def test_torchaudios_weights_are_fetched_where_torchaudio_fetches_them_and_verified(
    stand_in: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torchaudio, "ADDRESS", f"{stand_in.url}/torchaudio/")
    stand_in.files["/torchaudio/models/small.pt"] = File(b"weights" * 9, cuts=[20])
    source = "torchaudio:models/small.pt"
    assert sources.size(source, entry(source)) == 63
    assert sources.moved(source, "", entry(source)) is None
    fetched = sources.fetch(source, tmp_path, entry(source), silent)
    assert [(path.name, path.read_bytes()) for path in fetched.files] == [("small.pt", b"weights" * 9)]
    with pytest.raises(VerificationError, match=r"small\.pt has sha256"):
        sources.fetch(source, tmp_path, entry(source, sha256={"small.pt": "0" * 64}), silent)
    with pytest.raises(FetchError, match="404"):
        sources.fetch("torchaudio:models/none.pt", tmp_path, entry(source), silent)
    assert sources.size("torchaudio:models/none.pt", entry(source)) is None


def test_torchaudio_itself_has_the_address_and_the_files_of_the_catalogue() -> None:
    package = Path(importlib.util.find_spec("torchaudio").submodule_search_locations[0])  # type: ignore[union-attr, index]
    assert torchaudio.ADDRESS in (package / "utils" / "download.py").read_text()
    known = (package / "pipelines" / "_source_separation_pipeline.py").read_text()
    catalogue = load_catalogue(CHECKOUT / "model_repo" / "catalogue.toml")
    for each in catalogue.entries:
        if each.model == "separate":
            assert f'"{each.sources[0].removeprefix("torchaudio:")}"' in known
