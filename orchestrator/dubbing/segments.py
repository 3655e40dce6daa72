"""Words become segments, and segments passages, as they are heard.

A decision is taken only when no later word can change it, so the result does not depend on how the words arrive:

1. A sentence ends at its punctuation (see `sentences`), at a pause over 0.8 s, or where the language or the speaker
   changes. A word nobody is known to say is taken to be said by whoever spoke before, else by whoever speaks next.
2. A sentence that grows over `LONGEST_S` or `LONGEST_TEXT` is cut at the best place so far: clause punctuation and
   long pauses count, the earliest part is left out.
3. A passage of `SHORTEST_PASSAGE_S` or more closes at a sentence's end with a pause of `PASSAGE_PAUSE_S`; a shorter
   one at a pause of `PARTING_PAUSE_S`; any once it lasts `PASSAGE_S`.
4. Inside a closed passage a very short sentence joins its neighbour by the same speaker when the pause between is
   under `JOIN_PAUSE_S`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.dubbing.sentences import ends_clause, ends_sentence, is_glued, is_unspaced, join
from orchestrator.dubbing.timeline import Passage, Segment, Word

LONGEST_S = 12.0
LONGEST_TEXT = 200
PASSAGE_PAUSE_S = 0.3
PASSAGE_S = 15.0
SHORTEST_PASSAGE_S = 4.0
PARTING_PAUSE_S = 1.5
"""A pause this long ends a passage however short it is; others wait until it is worth a task of its own."""
JOIN_PAUSE_S = 0.6
SHORT_S = 1.0
SHORT_WORDS = 2
SHORT_UNSPACED_TEXT = 4

CLAUSE_WORTH_S = 0.5
"""Clause punctuation makes a cut as good as this much more pause."""
EARLIEST_CUT = 1 / 3
"""A cut leaves at least this share of the limit in front of it, where it can."""
SECONDS_PER_CHARACTER = 0.07
"""How long an untimed word at the very end may last."""


def close(words: Sequence[Word], heard_until: float, final: bool) -> tuple[list[Passage], list[Word]]:
    """Passages that are complete, and the words still open: a suffix of `words`, untimed ones interpolated.

    `words` are all heard words not yet in a passage, in order, complete up to `heard_until` seconds; `final` says that
    none will follow. Words without a time (NaN) get one between their neighbours. Stretches without any letter or digit
    are dropped where they stand alone.
    """
    timed = interpolate(words, heard_until, final)
    if timed and len(timed) < len(words):
        heard_until = timed[-1].end  # an untimed word follows, perhaps at once
    passages: list[Passage] = []
    sentences: list[Sequence[Word]] = []
    done = start = 0
    while (cut := _sentence_end(timed, start, heard_until, final)) is not None:
        sentences.append(timed[start:cut])
        start = cut
        if _passage_ends(sentences, _pause_after(timed, cut - 1, heard_until, final)):
            passages.append(Passage(tuple(_segment(each) for each in _join_short(sentences) if _is_spoken(each))))
            sentences, done = [], cut
    return [passage for passage in passages if passage.segments], [*timed[done:], *words[len(timed) :]]


def _sentence_end(words: Sequence[Word], start: int, heard_until: float, final: bool) -> int | None:
    """Where the sentence from `start` on ends (exclusive); None while that is open."""
    speaker = None
    for at in range(start, len(words)):
        following = words[at + 1] if at + 1 < len(words) else None
        if at == start or not is_glued(words[at - 1], words[at]):  # a word of several parts is said by one
            speaker = words[at].speaker or speaker
        if ends_sentence(words[at], following, _pause_after(words, at, heard_until, final)):
            return at + 1
        if following is not None and _takes_over(following, speaker) and not is_glued(words[at], following):
            return at + 1
        if following is None:
            return None
        if _is_long(words[start : at + 1]) and (cut := _best_cut(words[start : at + 1])):
            return start + cut
    return None


def _takes_over(word: Word, speaker: str | None) -> bool:
    return None not in (word.speaker, speaker) and word.speaker != speaker


def _speaker(words: Sequence[Word]) -> str | None:
    return next((word.speaker for word in words if word.speaker is not None), None)


def _pause_after(words: Sequence[Word], at: int, heard_until: float, final: bool) -> float:
    if at + 1 < len(words):
        return words[at + 1].start - words[at].end
    return math.inf if final else heard_until - words[at].end


def _passage_ends(sentences: Sequence[Sequence[Word]], pause: float) -> bool:
    seconds = sentences[-1][-1].end - sentences[0][0].start
    enough = PASSAGE_PAUSE_S if seconds >= SHORTEST_PASSAGE_S else PARTING_PAUSE_S
    return pause >= enough or seconds >= PASSAGE_S


def _is_long(words: Sequence[Word]) -> bool:
    return words[-1].end - words[0].start > LONGEST_S or sum(len(word.text) for word in words) > LONGEST_TEXT


def _is_short(words: Sequence[Word]) -> bool:
    if words[-1].end - words[0].start < SHORT_S:
        return True
    if is_unspaced(words[0].language):
        return len(join(words)) <= SHORT_UNSPACED_TEXT
    return len(words) <= SHORT_WORDS


def _is_spoken(words: Sequence[Word]) -> bool:
    return any(character.isalnum() for word in words for character in word.text)


def _best_cut(words: Sequence[Word]) -> int:
    """Where to cut a sentence that has grown too long: how many words go in front; 0 where none can be parted."""
    places = [at for at in range(1, len(words)) if not is_glued(words[at - 1], words[at])]
    late = [at for at in places if words[at - 1].end - words[0].start >= LONGEST_S * EARLIEST_CUT] or places

    def worth(at: int) -> tuple[float, int]:
        pause = words[at].start - words[at - 1].end
        return round(pause + (CLAUSE_WORTH_S if ends_clause(words[at - 1]) else 0.0), 3), at

    return max(late, key=worth, default=0)


def _join_short(sentences: Sequence[Sequence[Word]]) -> list[Sequence[Word]]:
    """The sentences of a passage, very short ones joined to the next or else the previous one."""
    joined: list[Sequence[Word]] = []
    for sentence in sentences:
        if joined and (_is_short(joined[-1]) or _is_short(sentence)) and _may_join(joined[-1], sentence):
            joined[-1] = [*joined[-1], *sentence]
        else:
            joined.append(sentence)
    return joined


def _may_join(words: Sequence[Word], following: Sequence[Word]) -> bool:
    return (
        following[0].start - words[-1].end < JOIN_PAUSE_S
        and words[-1].language == following[0].language
        and (_speaker(words) == _speaker(following) or None in (_speaker(words), _speaker(following)))
        and not _is_long([*words, *following])
    )


def _segment(words: Sequence[Word]) -> Segment:
    language = words[0].language or "und"
    return Segment(words[0].start, words[-1].end, language, join(words), tuple(words), _speaker(words))


def interpolate(words: Sequence[Word], heard_until: float, final: bool) -> list[Word]:
    """The words with times that never go back; runs of untimed ones share the time between their neighbours by length.

    Untimed words at the end are left off unless `final`: their time depends on what follows.
    """
    timed: list[Word] = []
    at = 0
    while at < len(words):
        if is_timed(words[at]):
            timed.append(words[at])
            at += 1
            continue
        stop = next((later for later in range(at, len(words)) if is_timed(words[later])), len(words))
        if stop == len(words) and not final:
            break
        needed = SECONDS_PER_CHARACTER * sum(len(word.text.strip()) for word in words[at:stop])
        end = words[stop].start if stop < len(words) else heard_until
        start = timed[-1].end if timed else max(0.0, end - needed)
        timed += _spread(words[at:stop], start, max(start, end if stop < len(words) else min(end, start + needed)))
        at = stop
    return _monotonic(timed)


def is_timed(word: Word) -> bool:
    return not (math.isnan(word.start) or math.isnan(word.end))


def _spread(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """The words laid out between two times in proportion to their length."""
    lengths = [max(1, len(word.text.strip())) for word in words]
    edges = [start + (end - start) * sum(lengths[:at]) / sum(lengths) for at in range(len(words) + 1)]
    return [replace(word, start=edges[at], end=edges[at + 1]) for at, word in enumerate(words)]


def _monotonic(words: Sequence[Word]) -> list[Word]:
    """Starts that never go back, ends that reach neither before the start nor past the next word's."""
    ordered: list[Word] = []
    for word in words:
        start = max(word.start, ordered[-1].start) if ordered else word.start
        if ordered and ordered[-1].end > start:
            ordered[-1] = replace(ordered[-1], end=start)
        ordered.append(replace(word, start=start, end=max(start, word.end)))
    return ordered
