"""Languages as the frontend's pages name them: codes of its selects, older codes, English names."""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import OctaviaError
from orchestrator.languages import NAMES, Language

AUTO = frozenset({"", "auto", "auto-detect", "autodetect", "detect"})

OFFERED: Mapping[str, str] = {
    code: NAMES[code]
    for code in (
        *("en", "es", "fr", "de", "it", "pt", "ru", "ja", "ko", "zh", "nl"),
        *("pl", "tr", "sv", "da", "no", "fi", "vi", "th", "id", "hi", "ar"),
    )
}
"""What the selects offer."""

ALIASES: Mapping[str, str] = {
    **{name.lower(): code for code, name in OFFERED.items()},
    "zh-cn": "zh",
    "zh-hans": "zh",
    "mandarin": "zh",
    "nb": "no",
    "swe": "sv",
    "swa": "sw",
}

_LANGUAGE = TypeAdapter[str](Language)


class UnknownNameError(OctaviaError):
    """Neither a code nor a name of a language."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "unknown_language",
            f"'{name[:40]}' is not a language we know. Choose one from the list, such as 'en' or 'Spanish'.",
            400,
        )


def language(given: str | None) -> str | None:
    """The BCP 47 code that is meant; None for "auto" and for nothing. Raises UnknownNameError."""
    name = (given or "").strip().lower().replace("_", "-")
    if name in AUTO:
        return None
    try:
        return _LANGUAGE.validate_python(ALIASES.get(name, name))
    except ValidationError as error:
        raise UnknownNameError(given or "") from error


def name_of(code: str) -> str:
    """The language's English name, where the selects have it, else its code."""
    return OFFERED.get(code.split("-", maxsplit=1)[0], code)
