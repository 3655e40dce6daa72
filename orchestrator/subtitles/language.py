"""Which language a text is written in (py3langid, BSD-3-Clause: 139 languages, its model inside the package)."""

from functools import lru_cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

SAMPLE = 20_000
"""Characters looked at, taken from all over the text."""
FEWEST_LETTERS = 12
TRUSTED = 0.5
"""Every wrong answer of our trial on single sentences was below, close relatives (Danish, Norwegian) aside."""


@lru_cache(maxsize=1)
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def identify(text: str) -> tuple[str, float] | None:
    """The language (BCP 47) and its probability; None where the text has too few letters to tell."""
    if sum(character.isalpha() for character in text[:SAMPLE]) < FEWEST_LETTERS:
        return None
    if len(text) > SAMPLE:
        step = len(text) // 10
        text = "\n".join(text[at : at + SAMPLE // 10] for at in range(0, len(text), step))
    language, probability = _identifier().classify(text)
    return str(language), float(probability)


def certain(text: str) -> str | None:
    """The language of a text where it can be relied on."""
    found = identify(text)
    return found[0] if found and found[1] >= TRUSTED else None
