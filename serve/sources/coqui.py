"""coqui:tts_models/LANGUAGE/DATASET/MODEL — a voice of Coqui's own list, which the installed TTS package carries."""

import importlib.util
import json
import shutil
import zipfile
from pathlib import Path, PurePosixPath

import httpx

from serve.catalogue import CatalogueEntry
from serve.settings import get_settings
from serve.sources.common import Fetched, Progress, sha256_of, verify, wanted
from serve.sources.download import download
from serve.weights_errors import FetchError, VerificationError

GITHUB = "https://github.com/"
CHECKPOINTS = ("model_file.pth", "model_file.pth.tar", "model.pth", "best_model.pth")
ASK_TIMEOUT_S = 15.0
MAX_BYTES = 4 << 30  # of one unpacked file; the largest VITS voice has 0.3 GB


def registry_path() -> Path:
    """The list of models inside the installed TTS package, found without importing it."""
    spec = importlib.util.find_spec("TTS")
    if spec is None or not spec.submodule_search_locations:
        raise FetchError("coqui-tts is not installed; run scripts/install.sh")
    return Path(spec.submodule_search_locations[0]) / ".models.json"


def resolve(rest: str, name: str) -> str:
    """The address of the model's archive; FetchError when Coqui's list has no such model."""
    node = json.loads(registry_path().read_text(encoding="utf-8"))
    for part in rest.split("/"):
        node = node.get(part) if isinstance(node, dict) else None
    url = node.get("github_rls_url") if isinstance(node, dict) else None
    if not url:
        raise FetchError(f"{name}: Coqui's list of models has no downloadable {rest}; see `tts --list_models`")
    mirror = get_settings().coqui_mirror
    return f"{mirror.rstrip('/')}/{url.removeprefix(GITHUB)}" if mirror else str(url)


def size(rest: str, entry: CatalogueEntry) -> int | None:
    """Bytes of the archive, None where the server does not say."""
    try:
        answer = httpx.head(resolve(rest, entry.name), follow_redirects=True, timeout=ASK_TIMEOUT_S)
    except httpx.HTTPError:
        return None
    length = answer.headers.get("content-length", "")
    return int(length) if answer.is_success and length.isdigit() else None


def unpack(archive_path: Path, folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Writes the archive's wanted files flat into folder: no member's own path is ever used."""
    files = []
    with zipfile.ZipFile(archive_path) as archive:
        for member in archive.infolist():
            base = PurePosixPath(member.filename.replace("\\", "/")).name
            if member.is_dir() or not base or base.startswith(".") or not wanted(base, patterns):
                continue
            if member.file_size > MAX_BYTES:
                raise VerificationError(f"{archive_path.name}: {base} would unpack to {member.file_size} bytes")
            target = folder / ("model.pth" if base in CHECKPOINTS else base)
            with archive.open(member) as source, target.open("wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)
            files.append(target)
    return files


def fetch(rest: str, folder: Path, entry: CatalogueEntry, progress: Progress) -> Fetched:
    """Downloads the voice's archive, resuming, and unpacks checkpoint and config."""
    url = resolve(rest, entry.name)
    archive_path = folder / url.rpartition("/")[2]
    if not archive_path.exists():
        download(url, archive_path, what=f"downloading {entry.name}", progress=progress)
    if archive_path.name in entry.sha256:
        verify(archive_path, entry.sha256[archive_path.name], entry.name)
    hashes = {archive_path.name: sha256_of(archive_path)}
    try:
        files = unpack(archive_path, folder, entry.files)
    except zipfile.BadZipFile as error:
        archive_path.unlink()
        raise VerificationError(
            f"{entry.name}: {url} is not an intact zip archive; it was removed, try again"
        ) from error
    archive_path.unlink()
    return Fetched(url, tuple(files), hashes)


def moved(_rest: str, _recorded: str, _entry: CatalogueEntry) -> str | None:
    """Never: the installed TTS package names one archive."""
    return None
