"""Turns fetched files into the folder the model plane loads. One function per `convert` of the catalogue."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from serve.catalogue import CatalogueEntry
from serve.models.diarization_folder import CONFIG, check_folder
from serve.sources.common import Progress
from serve.weights_errors import ConversionError

Convert = Callable[[Path, list[Path], Path, CatalogueEntry, Progress], None]
"""(folder the files were fetched to, the files, folder to write to, entry, progress)"""


def move(path: Path, folder: Path, out: Path) -> None:
    """Moves a file of folder to the same place below out."""
    target = out / path.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, target)


def keep(folder: Path, files: list[Path], out: Path, _entry: CatalogueEntry, _progress: Progress) -> None:
    """The files as they are, in their folders."""
    for path in files:
        move(path, folder, out)


def join(folder: Path, files: list[Path], out: Path, entry: CatalogueEntry, progress: Progress) -> None:
    """NAME.part1, NAME.part2 … become NAME; everything else is kept."""
    parts: dict[str, dict[int, Path]] = {}
    for path in files:
        if match := re.fullmatch(r"(.+)\.part(\d+)", path.name):
            parts.setdefault(match[1], {})[int(match[2])] = path
        else:
            move(path, folder, out)
    for name, pieces in parts.items():
        numbers = sorted(pieces)
        if numbers != list(range(1, len(numbers) + 1)):
            raise ConversionError(f"{entry.name}: {name} has the parts {numbers}; some are missing")
        progress(f"joining {entry.name}", 0, len(numbers))
        with (out / name).open("wb") as whole:
            for number in numbers:
                with pieces[number].open("rb") as piece:
                    shutil.copyfileobj(piece, whole, 1 << 20)
                pieces[number].unlink()


def marian(folder: Path, _files: list[Path], out: Path, entry: CatalogueEntry, progress: Progress) -> None:
    """Helsinki-NLP's layout to CTranslate2, int8."""
    from serve.convert_marian import convert_marian  # noqa: PLC0415 - imports torch

    progress(f"converting {entry.name}", 0, None)
    convert_marian(folder, out, name=entry.name, target_token=entry.target_token)


def piper(_folder: Path, files: list[Path], out: Path, entry: CatalogueEntry, progress: Progress) -> None:
    """A Piper voice (VOICE.onnx and VOICE.onnx.json) to Coqui VITS with voice.json."""
    from serve.voices import import_piper  # noqa: PLC0415 - imports torch

    onnx = [path for path in files if path.suffix == ".onnx"]
    if len(onnx) != 1:
        raise ConversionError(f"{entry.name}: expected one .onnx file, found {len(onnx)}; set files in the catalogue")
    progress(f"importing {entry.name}", 0, None)
    import_piper(
        onnx[0],
        onnx[0].with_name(onnx[0].name + ".json"),
        out,
        name=entry.name,
        language=entry.language,
        gender=entry.gender,
        licence=entry.licence,
        licence_chain=entry.licence_chain,
        paid_use=entry.paid_use,
        attribution=entry.attribution,
    )
    for path in files:
        if path.name == "MODEL_CARD":
            shutil.copyfile(path, out / path.name)


def coqui(folder: Path, files: list[Path], out: Path, entry: CatalogueEntry, progress: Progress) -> None:
    """A Coqui VITS folder, with its speed measured."""
    from serve.voices import describe_voice  # noqa: PLC0415 - imports torch

    keep(folder, files, out, entry, progress)
    missing = [name for name in ("model.pth", "config.json") if not (out / name).exists()]
    if missing:
        raise ConversionError(f"{entry.name}: the archive has no {' and no '.join(missing)}")
    if not zipfile.is_zipfile(out / "model.pth") and (out / "model.pth").stat().st_size < 1 << 20:
        raise ConversionError(f"{entry.name}: model.pth is not a PyTorch checkpoint")
    progress(f"measuring {entry.name}", 0, None)
    describe_voice(
        out,
        name=entry.name,
        language=entry.language,
        gender=entry.gender,
        licence=entry.licence,
        licence_chain=entry.licence_chain,
        paid_use=entry.paid_use,
        attribution=entry.attribution,
    )


def pyannote(_folder: Path, files: list[Path], out: Path, entry: CatalogueEntry, _progress: Progress) -> None:
    """A pyannote pipeline with its folders, which loads nothing from elsewhere."""
    config = next((path for path in files if path.name == CONFIG), None)
    if config is None:
        raise ConversionError(f"{entry.name}: it has no {CONFIG}; set files in the catalogue")
    for path in files:
        target = out / path.relative_to(config.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    try:
        check_folder(out)
    except ValueError as error:
        raise ConversionError(f"{entry.name}: {error}") from error


CONVERTERS: dict[str, tuple[int, Convert]] = {  # name -> (version: raise it to have everybody convert again, function)
    "none": (1, keep),
    "join": (1, join),
    "marian": (2, marian),
    "piper": (2, piper),
    "coqui": (2, coqui),
    "pyannote": (1, pyannote),
}
