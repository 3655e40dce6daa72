"""Translating sentences so that the terms of a job's glossary are in them, or it is told that they are not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.capabilities import base
from orchestrator.dubbing.glossary import Disguise, Term, disguises, missing, normal, relevant, replaced, undisguised
from orchestrator.inference import Hypothesis, Inference
from orchestrator.jobs.models import Job

ALONE = 2
"""Translations asked for of a term by itself."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A sentence's translations, best first, and the terms that none of them has."""

    found: list[Hypothesis]
    missing: tuple[Term, ...] = ()


@dataclass(frozen=True, slots=True)
class _Languages:
    source: str
    target: str


def terms_of(job: Job, source: str, target: str) -> list[Term]:
    """The job's terms between two languages; where several are the same, the one that names the languages."""
    found: dict[str, tuple[int, Term]] = {}
    for entry in job.glossary:
        languages = (entry["source_language"], entry["target_language"])
        if all(each is None or base(each) == base(own) for each, own in zip(languages, (source, target), strict=True)):
            term = Term(entry["source"], entry["target"] or entry["source"], entry["case_sensitive"])
            said = sum(each is not None for each in languages)
            key = normal(term.source) if term.case_sensitive else normal(term.source).casefold()
            if key not in found or said > found[key][0]:
                found[key] = (said, term)
    return [term for _, term in found.values()]


async def translate(
    models: Inference, terms: Sequence[Term], sentences: Sequence[str], source: str, target: str, count: int = 1
) -> list[Translated]:
    """Each sentence's translations that obey the terms (see `dubbing.glossary`), at most `count`.

    Where none does, the best there is, with what is missing of it. Raises ModelRefusedError for a pair without a model.
    """
    found = await models.translate(sentences, source, target, count)
    result = [Translated(each) for each in found]
    languages = _Languages(source, target)
    own = relevant(terms, sentences, source)
    open_ = []
    for at, (sentence, each) in enumerate(zip(sentences, found, strict=True)):
        result[at] = _judged(sentence, each, own, languages)
        if result[at].missing and each:
            open_.append(at)
    if open_:
        for at, obeying in (await _helped(models, own, {at: sentences[at] for at in open_}, languages)).items():
            result[at] = obeying
        open_ = [at for at in open_ if result[at].missing]
    if open_:
        alone = await _alone(models, [term for at in open_ for term in result[at].missing], languages)
        for at in open_:
            result[at] = _put_in(sentences[at], found[at], own, alone, languages, result[at])
    return result


def _judged(sentence: str, found: Sequence[Hypothesis], terms: Sequence[Term], languages: _Languages) -> Translated:
    """The translations that have all terms; else all, with what the best of them lacks."""
    lacking = [missing(sentence, each.text, terms, languages.source, languages.target) for each in found]
    obeying = [each for each, lacks in zip(found, lacking, strict=True) if not lacks]
    if obeying or not found:
        return Translated(list(obeying))
    return Translated(list(found), tuple(lacking[0]))


async def _helped(
    models: Inference, terms: Sequence[Term], sentences: Mapping[int, str], languages: _Languages
) -> dict[int, Translated]:
    """Translations of the sentences in disguise; of each the first way that brings every term, or none, is taken."""
    asked: list[tuple[int, Disguise]] = [
        (at, each) for at, sentence in sentences.items() for each in disguises(sentence, terms, languages.source)
    ]
    answers = await models.translate([each.text for _, each in asked], languages.source, languages.target)
    helped: dict[int, Translated] = {}
    for (at, disguise), found in zip(asked, answers, strict=True):
        text = undisguised(found[0].text, disguise) if found and at not in helped else None
        if text is not None and not missing(sentences[at], text, terms, languages.source, languages.target):
            helped[at] = Translated([Hypothesis(text, found[0].score)])
    return helped


async def _alone(models: Inference, terms: Sequence[Term], languages: _Languages) -> dict[Term, list[str]]:
    """What the model makes of each term by itself."""
    asked = list(dict.fromkeys(terms))
    answers = await models.translate([term.source for term in asked], languages.source, languages.target, ALONE)
    return {term: [*(each.text for each in found), term.source] for term, found in zip(asked, answers, strict=True)}


def _put_in(
    sentence: str,
    found: Sequence[Hypothesis],
    terms: Sequence[Term],
    alone: Mapping[Term, Sequence[str]],
    languages: _Languages,
    otherwise: Translated,
) -> Translated:
    for each in found:
        text = replaced(sentence, each.text, terms, alone, languages.source, languages.target)
        if text is not None and not missing(sentence, text, terms, languages.source, languages.target):
            return Translated([Hypothesis(text, each.score)])
    return otherwise
