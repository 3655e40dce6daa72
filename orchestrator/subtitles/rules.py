"""What a readable subtitle is, as data: a profile each for the guides people are held to.

Sources of the figures:

- netflix: Timed Text Style Guide, general requirements (5/6 to 7 s, two frames apart, 2 lines; gaps of under half a
  second are closed; in-times within 3 frames of the sound; no line ends with an article, preposition, pronoun or
  auxiliary that belongs to the next word) and its language guides (42 characters; English 20 characters a second for
  adults, others 17; Chinese 16 and 9, Japanese 13 and 4, Korean 16 and 12 in full-width characters; Thai 35,
  Russian 39).
- bbc: Subtitle Guidelines (160 to 180 words a minute; 2 lines; 0.3 s for each word at the least; not more than 1.5 s
  before speech nor after it; gaps of under a second are closed). 37 characters are what its teletext holds; the rule
  for online video is 68 % of the picture's width, which its usual font fills with about as many. It has no figures for
  languages without spaces, nor for the longest time: those of `plain` hold.
- ted: TED Translators' sheet (1 to 7 s, 42 characters, 2 lines, 21 characters a second, not over 100 ms before speech),
  which is also the compliance triple of IWSLT's subtitling tracks.
- plain, ours: the shapes and speeds of Netflix' English guide for every language written like it, no cue before its
  words.

How much later than its words a cue may come where it has to wait for another only Netflix and the BBC say; 0.5 s is
ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.subtitles.measure import COLUMNS, EACH_ONE, FULL_WIDTH, Widths

ProfileName = Literal["plain", "netflix", "bbc", "ted"]
PROFILE_NAMES: tuple[ProfileName, ...] = get_args(ProfileName)


@dataclass(frozen=True, slots=True)
class Rules:
    """A profile as it holds for a language. Lengths in characters, times in seconds, speeds in characters a second."""

    name: ProfileName = "plain"
    language: str | None = None
    widths: Widths = EACH_ONE
    """What narrow and wide characters count."""
    line_length: float = 42
    lines: int = 2
    shortest: float = 5 / 6
    longest: float = 7.0
    gap: float = 2 / 24
    """Least time between two cues: two frames of film."""
    chain: float = 0.5
    """A gap shorter than this is closed down to `gap` where the cue before it may last so long."""
    gaps_are_closed: bool = False
    """Whether one that is not breaks the rules."""
    comfortable_speed: float = 17.0
    """A cue stays on screen for this reading speed where there is time."""
    reading_speed: float = 20.0
    comfortable_words: float | None = None
    words_per_minute: float | None = None
    """Where words are counted, they are instead of characters."""
    early: float = 0.0
    late: float = 0.5
    """How much before and after its first word a cue may come."""
    linger: float = 7.0
    """How long after its last word a cue may stay for comfort's sake."""
    breaks: bool = False
    """Whether a line that ends with a word that belongs to the next breaks the rules."""

    @property
    def spaced(self) -> bool:
        """Whether the language has spaces between its words."""
        return not is_unspaced(self.language)

    def reading_time(self, characters: float, words: int) -> float:
        """The least seconds for reading so much."""
        if self.words_per_minute and self.spaced:
            return words * 60 / self.words_per_minute
        return characters / self.reading_speed

    def comfortable_time(self, characters: float, words: int) -> float:
        """Seconds for reading so much at leisure."""
        if self.comfortable_words and self.spaced:
            return words * 60 / self.comfortable_words
        return characters / self.comfortable_speed


PLAIN = Rules()
PROFILES: Mapping[ProfileName, Rules] = {
    "plain": PLAIN,
    "netflix": Rules(
        "netflix",
        gaps_are_closed=True,
        comfortable_speed=15.0,
        reading_speed=17.0,
        early=3 / 24,
        late=3 / 24,
        breaks=True,
    ),
    "bbc": Rules(
        "bbc",
        widths=COLUMNS,
        line_length=37,
        shortest=0.3,
        chain=1.0,
        gaps_are_closed=True,
        comfortable_words=160.0,
        words_per_minute=180.0,
        early=1.5,
        late=1.5,
        linger=1.5,
        breaks=True,
    ),
    "ted": Rules("ted", shortest=1.0, comfortable_speed=18.0, reading_speed=21.0, early=0.1, breaks=True),
}

Figures = Mapping[str, Any]


def _figures(length: float, comfortable: float, fastest: float, widths: Widths = EACH_ONE) -> Figures:
    return {
        "line_length": length,
        "comfortable_speed": comfortable,
        "reading_speed": fastest,
        "widths": widths,
    }


_UNLIKE_ENGLISH: Mapping[str, Figures] = {
    "zh": _figures(16, 7.0, 9.0, FULL_WIDTH),
    "yue": _figures(16, 7.0, 9.0, FULL_WIDTH),
    "ja": _figures(16, 6.0, 8.0, FULL_WIDTH),
    "ko": _figures(16, 10.0, 12.0, FULL_WIDTH),
    "th": _figures(35, 15.0, 20.0),
    "ru": _figures(39, 15.0, 17.0),
}
"""Japanese may be read faster here than at Netflix's 4 per second: what is said is not condensed."""

OF_LANGUAGE: Mapping[ProfileName, Mapping[str, Figures]] = {
    "plain": _UNLIKE_ENGLISH,
    "bbc": _UNLIKE_ENGLISH,
    "ted": _UNLIKE_ENGLISH,
    "netflix": {
        **_UNLIKE_ENGLISH,
        "en": {"comfortable_speed": 17.0, "reading_speed": 20.0},
        "ja": _figures(13, 4.0, 4.0, FULL_WIDTH),
        "th": _figures(35, 15.0, 17.0),
    },
}
"""Where a language differs in a profile."""


def rules_for(language: str | None, profile: Rules = PLAIN) -> Rules:
    """The profile as it holds for a BCP 47 language."""
    primary = (language or "").split("-")[0].lower()
    return replace(profile, language=language, **OF_LANGUAGE[profile.name].get(primary, {}))
