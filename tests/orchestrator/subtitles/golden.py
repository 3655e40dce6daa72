"""Transcripts whose subtitles are kept by profile in tests/data/subtitles, and how those files are made.

python -m tests.orchestrator.subtitles.golden        # writes them anew: look at the difference before committing it
"""

from collections.abc import Iterator
from pathlib import Path

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.dubbing.timeline import Segment, Word
from orchestrator.subtitles import srt
from orchestrator.subtitles.check import check
from orchestrator.subtitles.cues import cues_of_segments
from orchestrator.subtitles.rules import PROFILES, ProfileName, rules_for

FOLDER = Path(__file__).parents[2] / "data" / "subtitles"
SAMPLE = Path(__file__).parents[3] / "samples" / "sense-and-sensibility.txt"

PACE = {"en": 0.065, "es": 0.06, "ja": 0.17, "ar": 0.09}
"""Seconds a character, as people speak."""
SENTENCES = {
    "en": tuple(SAMPLE.read_text("utf-8").splitlines()),
    "es": (
        "Y el señor John Dashwood tuvo entonces tiempo de considerar cuánto podía hacer por ellas con prudencia.",
        "No era un joven de mala índole.",
        "Si se hubiera casado con una mujer más amable, habría podido ser aún más respetable de lo que era.",
    ),
    "ja": (
        "吾輩は猫である。名前はまだ無い。",
        "どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。",
        "iPhone 15を3.5分で「買った」😀。",
    ),
    "ar": (
        "صباح الخير، كيف حالكم جميعا في هذا اليوم الجميل من أيام الربيع؟",
        "لم يكن شابا سيئ الطبع، إلا أن يكون البرود والأنانية من سوء الطبع.",
        "اشتريت iPhone 15 أمس.",
    ),
}


def transcript(language: str, hurry: float = 1.0) -> list[Segment]:
    """The sentences said one after the other, with pauses of several lengths; `hurry` times as fast as usual."""
    clock, segments = 0.5, []
    for number, text in enumerate(SENTENCES[language]):
        words = []
        parts = list(text) if is_unspaced(language) else [f" {word}" for word in text.split()]
        for part in parts:
            length = PACE[language] * len(part) / hurry
            words.append(Word(part, clock, clock + 0.95 * length, 1.0, language))
            clock += length
        segments.append(Segment(words[0].start, words[-1].end, language, text, tuple(words)))
        clock += (0.2, 0.7, 2.5)[number % 3]
    return segments


def files() -> Iterator[tuple[str, str]]:
    """Name and content of each: the subtitles as SubRip, behind the rules their words do not let them keep."""
    for language in SENTENCES:
        for profile in PROFILES:
            for name, hurry in (("", 1.0), ("-hurried", 2.0)):
                yield f"{language}-{profile}{name}.txt", _content(language, profile, hurry)


def _content(language: str, profile: ProfileName, hurry: float) -> str:
    cues = cues_of_segments(transcript(language, hurry), PROFILES[profile])
    left = check(cues, rules_for(language, PROFILES[profile]))
    told = [f"cue {each.index + 1}: {each.rule} {each.value:.2f}, limit {each.limit:g}" for each in left]
    return "\n".join([*(told or ["no rule is broken"]), "", srt.dumps(cues, language)])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files():
        (FOLDER / name).write_text(content, "utf-8")
