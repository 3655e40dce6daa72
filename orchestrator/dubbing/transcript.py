"""A job's transcript as a document: what is said when and by whom, and how it is said in each target language."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.dubbing.timeline import Word


@dataclass(frozen=True, slots=True)
class Line:
    """A segment in a target language. `text` None: it is to be translated anew. `voice` None: the job's."""

    text: str | None
    voice: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A segment as it can be edited. Its `id` is the same in every revision. Seconds in the media."""

    id: int
    start: float
    end: float
    language: str
    text: str
    speaker: str | None = None
    words: tuple[Word, ...] = ()
    lines: Mapping[str, Line] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.end - self.start


Transcript = tuple[Entry, ...]
"""In order of their starts."""


def in_order(entries: Iterable[Entry]) -> Transcript:
    return tuple(sorted(entries, key=lambda entry: (entry.start, entry.end, entry.id)))


def joined(texts: Sequence[str], language: str) -> str:
    """Texts one after the other, as the language writes them."""
    return ("" if is_unspaced(language) else " ").join(text.strip() for text in texts if text.strip())


Sound = Callable[[Entry, str], object]
"""What a segment's line in a language sounds like, apart from its words: the same for the same voice."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is other in a transcript than in the one before it.

    `spoken`: by language, the ids of segments whose speech or subtitles are other; those that are gone count too.
    `seconds`: by language, how much time of the media these take. `total`: how much all segments do, with those that
    are gone. What two of them share counts once. `source`: whether anything of the original's text is other.
    """

    spoken: Mapping[str, frozenset[int]]
    seconds: Mapping[str, float]
    total: float
    source: bool

    @property
    def any(self) -> bool:
        return self.source or any(self.spoken.values())

    @property
    def ids(self) -> frozenset[int]:
        return frozenset().union(*self.spoken.values())


def compare(before: Transcript, after: Transcript, languages: Iterable[str], sound: Sound) -> Changes:
    """What `after` changes in these target languages, and in the original."""
    old = {entry.id: entry for entry in before}
    new = {entry.id: entry for entry in after}
    gone = [entry for entry in before if entry.id not in new]
    spoken: dict[str, frozenset[int]] = {}
    seconds: dict[str, float] = {}
    for language in languages:
        changed = [entry for entry in after if is_stale(old.get(entry.id), entry, language, sound)] + gone
        spoken[language] = frozenset(entry.id for entry in changed)
        seconds[language] = covered(changed)
    source = len(before) != len(after) or any(_source(old.get(entry.id)) != _source(entry) for entry in after)
    return Changes(spoken, seconds, covered([*after, *gone]), source)


def covered(entries: Iterable[Entry]) -> float:
    """Seconds of the media within any of these segments."""
    total, reached = 0.0, 0.0
    for entry in sorted(entries, key=lambda each: each.start):
        total += max(0.0, entry.end - max(entry.start, reached))
        reached = max(reached, entry.end)
    return total


def is_stale(before: Entry | None, entry: Entry, language: str, sound: Sound) -> bool:
    """Whether the segment is other in this language than it was: its words, its voice, or when it is said."""
    if before is None or (before.start, before.end) != (entry.start, entry.end):
        return True
    was, now = (each.lines.get(language) for each in (before, entry))
    if (was and was.text) != (now and now.text) or (now is not None and now.text is None):
        return True
    return sound(before, language) != sound(entry, language)


def _source(entry: Entry | None) -> object:
    return entry and (entry.start, entry.end, entry.text, entry.speaker, entry.words)
