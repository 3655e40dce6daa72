"""catalogue.toml: every set of weights Octavia knows, strictly validated.

A `[like.X]` table holds values that entries saying `like = "X"` start from.
"""

import re
import tomllib
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from serve.terms import objections
from serve.weights_errors import CatalogueError

Model = Literal[
    "whisper", "opus_mt", "coqui_tts", "align", "diarize", "separate", "speech_quality", "speaker_embedding"
]
Which = Literal["starter", "standard"]
Converter = Literal["none", "join", "marian", "piper", "coqui", "pyannote"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^[^./\\][^/\\]*(/[^./\\][^/\\]*)*$")]  # none hidden, none ".."
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]

BY_NAME = ("align", "diarize", "separate", "speech_quality", "speaker_embedding")
"""Models whose weights belong to no set: settings name them."""

SOURCES = {  # scheme -> (what the rest must look like, how to say so)
    "hf": (re.compile(r"[\w.-]+/[\w.-]+@[\w./-]+"), "hf:owner/repository@revision"),
    "coqui": (re.compile(r"tts_models/[\w-]+/[\w-]+/[\w.-]+"), "coqui:tts_models/language/dataset/model"),
    "torchaudio": (re.compile(r"models/[\w-]+\.pt"), "torchaudio:models/file.pt"),
    "pypi": (re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+"), "pypi:name==version"),
    "file": (re.compile(r".+"), "file:path"),
}


def as_tuple(value: Any) -> Any:
    """One string or a list of them; anything else is left for the validator to refuse."""
    if isinstance(value, list):
        return tuple(value)
    return (value,) if isinstance(value, str) else value


def as_languages(value: Any) -> Any:
    """A list as a tuple; "*" stays."""
    return tuple(value) if isinstance(value, list) else value


def check_source(source: str) -> str:
    """The source if its scheme is known and the rest has its form; ValueError otherwise."""
    scheme, _, rest = source.partition(":")
    if scheme not in SOURCES:
        raise ValueError(f"unknown source {source!r}: use one of {', '.join(form for _, form in SOURCES.values())}")
    pattern, form = SOURCES[scheme]
    if not pattern.fullmatch(rest):
        raise ValueError(f"source {source!r} is not of the form {form}")
    return source


Source = Annotated[str, BeforeValidator(check_source)]


class CatalogueEntry(BaseModel):
    """One set of weights. `sources` are fetched in order into one folder, then converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    name: Name
    model: Model
    sets: Annotated[tuple[Which, ...], BeforeValidator(as_tuple)] = ()
    sources: Annotated[tuple[Source, ...], BeforeValidator(as_tuple)] = Field(min_length=1, alias="source")
    files: Annotated[tuple[Pattern, ...], BeforeValidator(as_tuple)] = ()  # shell patterns; empty: all at the top
    sha256: dict[str, Sha256] = Field(default_factory=dict)  # name of a fetched or converted file -> its hash
    download_bytes: int | None = Field(default=None, gt=0)
    convert: Converter = "none"

    licence: Text
    licence_chain: Annotated[tuple[Text, ...], BeforeValidator(as_tuple)] = Field(min_length=1)
    paid_use: bool
    attribution: str = ""
    toy: bool = False

    languages: Annotated[tuple[Language, ...], BeforeValidator(as_tuple)] = ()
    source_language: Language | None = None  # opus_mt
    target_language: Language | None = None  # opus_mt
    target_token: str = ""  # opus_mt models of several targets want it before every sentence, e.g. >>por<<
    gender: Literal["female", "male", "unknown"] = "unknown"  # coqui_tts
    converter: bool = False  # coqui_tts: no voice, but what makes voices speak like a clip
    stand_in_for: Annotated[Literal["*"] | tuple[Language, ...] | None, BeforeValidator(as_languages)] = (
        None  # coqui_tts: languages it is used for without voice
    )

    base: Path = Field(default=Path(), exclude=True)  # folder that file: paths are relative to

    @model_validator(mode="after")
    def has_what_its_model_needs(self) -> "CatalogueEntry":
        if self.model == "opus_mt" and not (self.source_language and self.target_language):
            raise ValueError("an opus_mt entry needs source_language and target_language")
        if self.model == "coqui_tts" and self.converter == bool(self.languages):
            raise ValueError("a coqui_tts entry needs languages, its main one first, unless it is a converter")
        if self.model == "align" and len(self.languages) != 1:
            raise ValueError("an align entry needs languages with exactly one language")
        if self.model in BY_NAME and self.sets:
            raise ValueError(f"{self.model} entries are chosen by name and belong to no set: leave sets out")
        if self.model == "whisper" and not self.languages:
            raise ValueError("a whisper entry needs languages")
        if self.toy and self.paid_use:
            raise ValueError("a toy is never cleared for paid use: set paid_use = false")
        against = objections(self.licence, self.licence_chain)
        if self.paid_use and against:
            raise ValueError(f"paid_use = true contradicts its licences: {'; '.join(against)}. Set paid_use = false")
        return self

    @property
    def starter(self) -> bool:
        """Whether it belongs to the starter set only."""
        return self.sets == ("starter",)

    @property
    def language(self) -> str:
        """The language of an alignment model, and of a voice its main one."""
        return self.languages[0] if self.languages else ""

    def speaks(self) -> set[str]:
        """The languages it needs somebody to want: a translation's two, a voice's one, all that Whisper hears."""
        pair = {code for code in (self.source_language, self.target_language) if code}
        return pair or {*self.languages}


class Catalogue(BaseModel):
    """All entries, by name unique; at most one opus_mt entry per pair and set."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))

    entries: tuple[CatalogueEntry, ...]

    @cached_property
    def by_name(self) -> dict[str, CatalogueEntry]:
        """Entries by their name."""
        return {entry.name: entry for entry in self.entries}

    def get(self, name: str) -> CatalogueEntry:
        """The entry of that name; CatalogueError naming what there is."""
        try:
            return self.by_name[name]
        except KeyError:
            close = ", ".join(get_close_matches(name, self.by_name, n=5, cutoff=0.3))
            hint = f"; did you mean {close}?" if close else "."
            raise CatalogueError(f"the catalogue has no weights named {name!r}{hint} See octavia models list") from None

    def select(self, which: Which) -> list[CatalogueEntry]:
        """The entries of a set, in the catalogue's order."""
        return [entry for entry in self.entries if which in entry.sets]


def explain(error: ValidationError) -> str:
    """The first complaints of pydantic in one line."""
    lines = []
    for problem in error.errors(include_url=False)[:5]:
        place = ".".join(str(part) for part in problem["loc"])
        lines.append(f"{place}: {problem['msg'].removeprefix('Value error, ')}" if place else problem["msg"])
    return "; ".join(lines)


def read_entries(path: Path) -> list[CatalogueEntry]:
    """The entries of one file; CatalogueError names the file and the entry."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"cannot read the catalogue {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{path} is not valid TOML: {error}") from error
    unknown = set(table) - {"weights", "like"}
    if unknown:
        raise CatalogueError(f"{path}: unknown table {sorted(unknown)[0]!r}; only [[weights]] and [like.…] are known")
    entries = []
    for number, raw in enumerate(table.get("weights", []), 1):
        title = f"{path}: entry {number} ({raw.get('name', 'without a name')})"
        like = raw.pop("like", None)
        if like is not None and like not in table.get("like", {}):
            raise CatalogueError(f"{title}: there is no [like.{like}]")
        values = {**table.get("like", {}).get(like, {}), **raw, "base": path.parent.resolve()}
        try:
            entries.append(CatalogueEntry.model_validate(values))
        except ValidationError as error:
            raise CatalogueError(f"{title}: {explain(error)}") from error
    return entries


def load_catalogue(path: Path, *more: Path) -> Catalogue:
    """Reads a catalogue and further ones that exist (such as an operator's imported voices).

    Raises CatalogueError for anything unknown, missing, malformed or said twice.
    """
    entries = read_entries(path)
    for extra in more:
        if extra.exists():
            entries += read_entries(extra)
    names: set[str] = set()
    pairs: dict[tuple[str, str | None, str | None], str] = {}
    for entry in entries:
        if entry.name in names:
            raise CatalogueError(f"{path}: two entries are named {entry.name!r}; rename one")
        names.add(entry.name)
        for which in entry.sets if entry.model == "opus_mt" else ():
            key = (which, entry.source_language, entry.target_language)
            if key in pairs:
                raise CatalogueError(f"{path}: {pairs[key]!r} and {entry.name!r} are both {key[1]}→{key[2]} in {which}")
            pairs[key] = entry.name
    return Catalogue(entries=tuple(entries))
