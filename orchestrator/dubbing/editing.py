"""Operations done to a transcript: all of them, or none.

1. Operations are done in their order, each to what the one before has left.
2. Ids stay. What a merge swallows is gone; what a split makes new gets the next id nobody had.
3. Times are looked at when all is done, so that two neighbours can be moved one after the other: a segment that was
   moved, merged or split lies within the media, is not shorter than `SHORTEST_S`, and overlaps none. Segments nobody
   touched may overlap as they did, as cues of a file do.
4. A line goes in its speaker's voice or in one that was chosen for it. Who says a segment can be changed: a line in
   the voice of the one before then goes in that of the other.
5. One segment stays at the least.
6. A text that is longer than its slot can take is no error: it is spoken as fast as a voice may, and what is left over
   runs into the time after it. `tight` tells of it before anything is spoken.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.capabilities import base
from orchestrator.dubbing.operations import (
    ChangeSpeaker,
    ChangeText,
    ChangeTimes,
    ChangeTranslation,
    ChangeVoice,
    Delete,
    Merge,
    Operation,
    Retranslate,
    Split,
)
from orchestrator.dubbing.retiming import moved, retimed, within
from orchestrator.dubbing.transcript import Entry, Line, Transcript, in_order, joined
from orchestrator.errors import OctaviaError

SHORTEST_S = 0.1
TOLERANCE_S = 0.001
FASTEST_CPS = 30.0
"""Characters a second no voice says even at its fastest; half as many where a character is a syllable."""
WIDE = 0x2E80
"""From here on Unicode's blocks are those of East Asian scripts."""


class InvalidEditError(OctaviaError):
    """An operation that cannot be done; nothing of the edit was. `operation` is its number, from 0."""

    def __init__(self, operation: int | None, message: str) -> None:
        where = f"Operation {operation}: " if operation is not None else ""
        super().__init__("invalid_edit", f"{where}{message} Nothing was changed.", 422, operation=operation)


class _Refused(Exception):  # noqa: N818  (becomes an InvalidEditError with the operation's number)
    pass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Within which a transcript is edited. `duration`: of the media, s. `next_id`: a number no segment ever had.

    `usual`: the voice of a speaker in a language, where no other is chosen. `voices`: those there are by target
    language; None where nobody can say.
    """

    duration: float
    languages: Sequence[str]
    next_id: int
    usual: Callable[[str | None, str], str | None]
    voices: Callable[[str, str], bool] | None = None


@dataclass(slots=True)
class _Draft:
    entries: dict[int, Entry]
    bounds: Bounds
    next_id: int
    touched: set[int]
    """Whose times are to be looked at."""


def edited(transcript: Transcript, operations: Iterable[Operation], bounds: Bounds) -> Transcript:
    """The transcript with these operations done. Raises InvalidEditError."""
    draft = _Draft({entry.id: entry for entry in transcript}, bounds, bounds.next_id, set())
    for number, operation in enumerate(operations):
        try:
            _DO[type(operation)](draft, operation)
        except _Refused as refusal:
            raise InvalidEditError(number, str(refusal)) from None
    ordered = in_order(draft.entries.values())
    if not ordered:
        raise InvalidEditError(None, "This would leave no segment; a transcript keeps one at the least.")
    _insist_on_times(ordered, draft.touched, bounds.duration)
    return ordered


@dataclass(frozen=True, slots=True)
class Tight:
    """A segment whose text takes longer than there is time, in a target language or (None) nowhere spoken."""

    segment: int
    language: str
    seconds: float
    """At the least, when it is spoken as fast as can be."""
    room: float


def tight(transcript: Transcript, languages: Iterable[str], duration: float, ids: Collection[int]) -> list[Tight]:
    """Of these segments, those whose words no voice says within the time up to the next one."""
    found = []
    starts = [entry.start for entry in transcript[1:]] + [duration]
    languages = list(languages)
    for entry, following in zip(transcript, starts, strict=True):
        room = max(entry.end, following) - entry.start
        for language in languages if entry.id in ids else ():
            line = entry.lines.get(language)
            seconds = least_seconds(line.text) if line is not None and line.text else 0.0
            if seconds > room:
                found.append(Tight(entry.id, language, seconds, room))
    return found


def least_seconds(text: str) -> float:
    """How long it takes at the least to say a text, s."""
    return sum(1 + (ord(character) >= WIDE) for character in text if character.isalnum()) / FASTEST_CPS


def _get(draft: _Draft, id_: int) -> Entry:
    entry = draft.entries.get(id_)
    if entry is None:
        raise _Refused(f"there is no segment {id_} (any more).")
    return entry


def _language(draft: _Draft, language: str) -> str:
    if language not in draft.bounds.languages:
        there = ", ".join(draft.bounds.languages) or "none"
        raise _Refused(f"the job has no target language '{language}'; it has: {there}.")
    return language


def _put(draft: _Draft, entry: Entry, **changes: Any) -> None:
    draft.entries[entry.id] = replace(entry, **changes)


def _with_line(entry: Entry, language: str, **changes: Any) -> Mapping[str, Line]:
    return {**entry.lines, language: replace(entry.lines.get(language, Line(None)), **changes)}


def _untranslated(lines: Mapping[str, Line]) -> dict[str, Line]:
    return {language: replace(line, text=None) for language, line in lines.items()}


def _text(draft: _Draft, operation: ChangeText) -> None:
    entry = _get(draft, operation.segment)
    words = retimed(entry.words, operation.text, entry.start, entry.end, entry.language)
    lines = _untranslated(entry.lines) if operation.retranslate else entry.lines
    _put(draft, entry, text=operation.text, words=words, lines=lines)


def _translation(draft: _Draft, operation: ChangeTranslation) -> None:
    entry, language = _get(draft, operation.segment), _language(draft, operation.language)
    if base(entry.language) == base(language):
        raise _Refused(f"segment {entry.id} is in '{entry.language}' already: change its text.")
    _put(draft, entry, lines=_with_line(entry, language, text=operation.text))


def _retranslate(draft: _Draft, operation: Retranslate) -> None:
    entry = _get(draft, operation.segment)
    languages = draft.bounds.languages if operation.language is None else [_language(draft, operation.language)]
    if not languages:
        raise _Refused("the job has no target language to translate to.")
    for language in languages:
        entry = replace(entry, lines=_with_line(entry, language, text=None))
    _put(draft, entry)


def _times(draft: _Draft, operation: ChangeTimes) -> None:
    entry = _get(draft, operation.segment)
    if operation.start is None and operation.end is None:
        raise _Refused("give a start, an end or both.")
    start = entry.start if operation.start is None else operation.start
    end = entry.end if operation.end is None else operation.end
    if end - start < SHORTEST_S:
        raise _Refused(f"a segment lasts {SHORTEST_S} s at the least; this one would from {start:g} to {end:g} s.")
    _put(draft, entry, start=start, end=end, words=moved(entry.words, (entry.start, entry.end), (start, end)))
    draft.touched.add(entry.id)


def _speaker(draft: _Draft, operation: ChangeSpeaker) -> None:
    entry = _get(draft, operation.segment)
    if entry.speaker == operation.speaker:
        return
    lines = {
        language: replace(line, voice=None) if line.voice == draft.bounds.usual(entry.speaker, language) else line
        for language, line in entry.lines.items()
    }
    _put(draft, entry, speaker=operation.speaker, lines=lines)


def _voice(draft: _Draft, operation: ChangeVoice) -> None:
    entry, language = _get(draft, operation.segment), _language(draft, operation.language)
    known = draft.bounds.voices
    if operation.voice is not None and known is not None and not known(language, operation.voice):
        raise _Refused(f"no voice '{operation.voice}' speaks '{language}'; GET /v1/languages shows those there are.")
    _put(draft, entry, lines=_with_line(entry, language, voice=operation.voice))


def _merge(draft: _Draft, operation: Merge) -> None:
    order = [entry.id for entry in in_order(draft.entries.values())]
    parts = [_get(draft, each) for each in operation.segments]
    at = order.index(parts[0].id)
    if order[at : at + len(parts)] != operation.segments:
        raise _Refused("only neighbours can be merged, named in their order.")
    first = parts[0]
    if len({part.language for part in parts}) > 1:
        raise _Refused("the segments are in different languages.")
    lines = {language: replace(line, text=_merged_line(parts, language)) for language, line in first.lines.items()}
    timed = all(part.words for part in parts)
    _put(
        draft,
        first,
        end=max(part.end for part in parts),
        text=joined([part.text for part in parts], first.language),
        words=tuple(word for part in parts for word in part.words) if timed else (),
        lines=lines,
    )
    for part in parts[1:]:
        del draft.entries[part.id]
    draft.touched.add(first.id)


def _merged_line(parts: Sequence[Entry], language: str) -> str | None:
    texts = [part.lines[language].text if language in part.lines else None for part in parts]
    known = [text for text in texts if text is not None]
    return joined(known, language) if len(known) == len(texts) else None


def _split(draft: _Draft, operation: Split) -> None:
    entry = _get(draft, operation.segment)
    for language in operation.translations:
        _language(draft, language)
    if (operation.word is None) == (operation.at is None):
        raise _Refused("say where to split: by the number of a word or at a time.")
    (end, start), cut = _cut(entry, operation)
    if min(end - entry.start, entry.end - start) < SHORTEST_S:
        raise _Refused(f"each part of a split segment lasts {SHORTEST_S} s at the least.")
    halves = (entry.words[:cut], entry.words[cut:])
    texts = operation.texts or tuple(_written(words) for words in halves)
    if not all(texts):
        raise _Refused("the segment has no words with times on both sides: give the two texts.")
    new = draft.next_id
    draft.next_id += 1
    for at, (id_, begin, stop) in enumerate(((entry.id, entry.start, end), (new, start, entry.end))):
        lines = {language: replace(line, text=_half(operation, language, at)) for language, line in entry.lines.items()}
        words = within(halves[at], begin, stop)
        if operation.texts:
            words = retimed(words, texts[at], begin, stop, entry.language)
        draft.entries[id_] = replace(entry, id=id_, start=begin, end=stop, text=texts[at], words=words, lines=lines)
        draft.touched.add(id_)


def _half(operation: Split, language: str, at: int) -> str | None:
    given = operation.translations.get(language)
    return given[at] if given else None


def _cut(entry: Entry, operation: Split) -> tuple[tuple[float, float], int]:
    """Where the first part ends and the second begins, and the number of the second's first word."""
    if operation.word is not None:
        if operation.word >= len(entry.words):
            raise _Refused(f"the segment has {len(entry.words)} words; number 0 is the first.")
        before, after = entry.words[operation.word - 1 : operation.word + 1]
        return (min(before.end, after.start), after.start), operation.word
    at = operation.at or 0.0
    if not entry.start < at < entry.end:
        raise _Refused(f"{at:g} s is not inside the segment, which lasts from {entry.start:g} to {entry.end:g} s.")
    return (at, at), sum((word.start + word.end) / 2 < at for word in entry.words)


def _written(words: Sequence[Any]) -> str:
    return "".join(word.text for word in words).strip()


def _delete(draft: _Draft, operation: Delete) -> None:
    del draft.entries[_get(draft, operation.segment).id]


def _insist_on_times(ordered: Transcript, touched: Collection[int], duration: float) -> None:
    latest: Entry | None = None
    for entry in ordered:
        if entry.id in touched and entry.end > duration + TOLERANCE_S:
            message = f"segment {entry.id} would end at {entry.end:g} s; the media lasts {duration:g} s."
            raise InvalidEditError(None, message.capitalize())
        if latest is not None and latest.end > entry.start + TOLERANCE_S and {latest.id, entry.id} & set(touched):
            message = (
                f"Segment {entry.id} would begin at {entry.start:g} s, while segment {latest.id} lasts until "
                f"{latest.end:g} s."
            )
            raise InvalidEditError(None, message)
        if latest is None or entry.end > latest.end:
            latest = entry


_DO: Mapping[type[Operation], Callable[[_Draft, Any], None]] = {
    ChangeText: _text,
    ChangeTranslation: _translation,
    Retranslate: _retranslate,
    ChangeTimes: _times,
    ChangeSpeaker: _speaker,
    ChangeVoice: _voice,
    Merge: _merge,
    Split: _split,
    Delete: _delete,
}
