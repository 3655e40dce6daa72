"""What each kind of job works on and gives, as data."""

from orchestrator.capabilities import base

DUBBED = ("video_translation", "audio_translation")
"""Kinds whose speech takes the place of speech in a media."""

OF_SUBTITLES = ("subtitle_translation", "subtitle_to_audio")
"""Kinds that read a subtitle file and hear nothing."""

SPOKEN = (*DUBBED, "subtitle_to_audio")
"""Kinds that give speech, for which a voice is needed."""

SOUND_FORMATS = ("audio_translation", "subtitle_to_audio")
"""Kinds whose result is a sound file, in a format to choose."""

TEXT_FORMATS = ("video_translation", "audio_translation", "subtitles", "subtitle_translation")
"""Kinds that write subtitles, in formats to choose."""

HEARD_TEXT = ("video_translation", "audio_translation", "subtitles")
"""Kinds that know when each word of the original is said."""

WITHOUT_TARGET = ("subtitles", "subtitle_to_audio")
"""Kinds that may stay in the language of the original."""


def speaks(kind: str, source: str | None, target: str) -> bool:
    """Whether a kind of job speaks in a language: a dub does not where the file (`source`) is in it already."""
    return kind in SPOKEN and (kind in OF_SUBTITLES or source is None or base(source) != base(target))
