"""Fixed terms and names in translations: where they stand in a sentence, whether a translation has them, and how to put
them there.

A translation model takes no orders, so it is helped, and what comes of it is looked at each time:

1. Terms are found in the sentence: at the edges of words where the language has spaces, the longest first, then the
   leftmost; none within another. The same rule counts them in translations, so that a term inside another is no term.
2. Of the model's translations those are taken that have every term as often as the sentence does.
3. Where none has, the sentence is translated with its terms already in the target language, and with tokens in their
   place that models leave alone (`disguises`). What comes back must have each exactly once; then they are put back.
4. Where that fails too, what the model makes of the term alone is looked for in its translation, and replaced where it
   stands exactly as often as the term does.
5. What still has not every term is told of: `missing`.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.dubbing.sentences import is_unspaced

TOKENS = ("X{}", "Q{}Z", "#{}")
"""What stands in a term's place while its sentence is translated; models copy these more often than not."""
FIRST = 11
"""Numbers of tokens begin here: of two digits none is part of another, and few sentences hold them."""


@dataclass(frozen=True, slots=True)
class Term:
    """A term of the source language and what it is in the target language: the same, where it is a name that stays."""

    source: str
    target: str
    case_sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A term in a text, from `start` to `end`."""

    term: Term
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Disguise:
    """A sentence to be translated in another's place, and what stands in it for which terms."""

    text: str
    stands_for: tuple[tuple[str, Term], ...]


def normal(text: str) -> str:
    """As texts are compared: composed (NFC), white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def find(text: str, terms: Iterable[Term], language: str | None) -> list[Found]:
    """The terms in a text of the source language, in order."""
    return _find(text, [(term, term.source) for term in terms], language)


def missing(text: str, translation: str, terms: Sequence[Term], source: str | None, target: str | None) -> list[Term]:
    """The terms of a sentence that its translation lacks, in order; the later ones where it has too few."""
    wanted = find(text, terms, source)
    targets = {each.term.target: each.term for each in wanted}
    there = Counter(
        each.term.target for each in _find(translation, [(term, term.target) for term in targets.values()], target)
    )
    lacking = []
    for each in wanted:
        if there[each.term.target]:
            there[each.term.target] -= 1
        else:
            lacking.append(each.term)
    return lacking


def disguises(text: str, terms: Sequence[Term], language: str | None) -> list[Disguise]:
    """Sentences to translate in place of one that has terms; none for one that has not."""
    found = find(text, terms, language)
    if not found:
        return []
    spoken = Disguise(_replaced(text, found, [each.term.target for each in found]), ())
    made = [spoken] if spoken.text != text else []
    for token in TOKENS:
        names = [token.format(FIRST + at) for at in range(len(found))]
        if not any(name.casefold() in text.casefold() for name in names):
            pairs = tuple(zip(names, (each.term for each in found), strict=True))
            made.append(Disguise(_replaced(text, found, names), pairs))
    return made


def undisguised(translation: str, disguise: Disguise) -> str | None:
    """The translation of a disguise with the terms in it; None where one of its tokens is not in it exactly once."""
    for token, term in disguise.stands_for:
        # A token may have lost or gained space or case on its way, as in "x 11".
        pattern = re.compile(r"(?<!\w)" + r"\s?".join(map(re.escape, token)) + r"(?!\w)", re.IGNORECASE)
        hits = list(pattern.finditer(translation))
        if len(hits) != 1:
            return None
        translation = _replaced(translation, [Found(term, *hits[0].span())], [term.target])
    return translation


def replaced(
    text: str,
    translation: str,
    terms: Sequence[Term],
    alone: Mapping[Term, Sequence[str]],
    source: str | None,
    target: str | None,
) -> str | None:
    """The translation with what the model makes of each missing term alone replaced by what the term is to be.

    None where that does not stand in it just as often as the term is missing.
    """
    for term, count in Counter(missing(text, translation, terms, source, target)).items():
        said = [
            Term(cleaned, term.target)
            for made in alone.get(term, ())
            if (cleaned := normal(made).strip(" .!?。！？,;:¡¿\"'"))
        ]
        where = next(
            (hits for each in said if len(hits := _find(translation, [(each, each.source)], target)) == count), None
        )
        if where is None:
            return None
        translation = _replaced(translation, where, [term.target] * count)
    return translation


def relevant(terms: Iterable[Term], texts: Iterable[str], language: str | None) -> list[Term]:
    """The terms that any of these texts has."""
    kept = list(terms)
    seen = {found.term for text in texts for found in find(text, kept, language)}
    return [term for term in kept if term in seen]


def _find(text: str, wanted: Sequence[tuple[Term, str]], language: str | None) -> list[Found]:
    hits = [
        Found(term, match.start(), match.end())
        for term, written in dict.fromkeys(wanted)
        for match in _pattern(written, term.case_sensitive, is_unspaced(language)).finditer(text)
    ]
    taken: list[Found] = []
    for hit in sorted(hits, key=lambda each: (each.start - each.end, each.start, each.term.source, each.term.target)):
        if all(hit.end <= other.start or other.end <= hit.start for other in taken):
            taken.append(hit)
    return sorted(taken, key=lambda each: each.start)


@lru_cache(maxsize=4096)
def _pattern(written: str, case_sensitive: bool, unspaced: bool) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in written.split())
    before = r"(?<!\w)" if not unspaced and _is_word(written[:1]) else ""
    after = r"(?!\w)" if not unspaced and _is_word(written[-1:]) else ""
    return re.compile(f"{before}{words}{after}", 0 if case_sensitive else re.IGNORECASE)


def _is_word(character: str) -> bool:
    return re.match(r"\w", character) is not None


def _replaced(text: str, found: Sequence[Found], by: Sequence[str]) -> str:
    parts, at = [], 0
    for each, new in zip(found, by, strict=True):
        begins = each.start == 0 and text[:1].isupper() and not each.term.case_sensitive
        parts += [text[at : each.start], new[:1].upper() + new[1:] if begins else new]
        at = each.end
    return "".join([*parts, text[at:]])
