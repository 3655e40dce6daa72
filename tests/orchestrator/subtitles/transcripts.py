"""Random transcripts: words of many scripts, said from slowly to absurdly fast, with pauses of any length."""

from hypothesis import strategies as st

from orchestrator.dubbing.sentences import is_unspaced
from orchestrator.dubbing.timeline import Segment, Word

WORDS: dict[str, list[str]] = {
    language: words.split()
    for language, words in {
        "en": "a the house of and well-known, extraordinary to is Yes. I incomprehensibilities 3.5 😀 👩‍👩‍👧‍👦 with",
        "es": "el la casa de y extraordinaria, ñandú Sí. que no internacionalización a 100 ¿qué? 🇪🇸",
        "de": "der die und Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen, zu nicht Ja. ein 7 weil",
        "ru": "и в на дом, необыкновенный Да. что не с достопримечательность",
        "ar": "في البيت، من و نعم. الكتاب على لا مدرسة iPhone 😀",
        "he": "של הבית, את כן. ספר על לא מתמטיקה 12",
        "zh": "我 们 今天， 去。 学校 iPhone 15 「好」 😀 的 中华人民共和国",
        "ja": "吾輩 は 猫 である。 どこ で、 っ ー 「はい」 ラーメン 3.5 👍🏽 カタカナ",
        "th": "ผม ไม่ได้ ไป โรงเรียน เมื่อวานนี้ ๆ 😀 กำลัง เพราะ",
        "ko": "나는 학교에 갔다. 그리고, 한국어 iPhone 오늘",
        "und": f"{'x' * 50} a b. {'e' * 45}\u0301 {'😀' * 45}",
    }.items()
}
NO_SENTENCE_START = "っーๆ"
PACES = (0.3, 0.09, 0.06, 0.05, 0.04, 0.02, 0.001, 0.0)
"""Seconds a character."""
PAUSES = (0.0, 0.0, 0.0, 0.1, 0.4, 0.9, 1.3, 3.0)
"""Seconds between sentences."""


@st.composite
def transcripts(draw: st.DrawFn, most_sentences: int = 12, most_words: int = 16) -> list[Segment]:
    """Sentences in one language, of one or two speakers, one after the other."""
    language = draw(st.sampled_from(sorted(WORDS)))
    speakers = draw(st.sampled_from([(None,), ("Ann",), ("Ann", "Bob")]))
    clock, segments = draw(st.sampled_from([0.0, 0.37, 5.0])), []
    for _ in range(draw(st.integers(1, most_sentences))):
        pace = draw(st.sampled_from(PACES))
        words: list[Word] = []
        first = draw(st.sampled_from([word for word in WORDS[language] if word not in NO_SENTENCE_START]))
        for text in [first, *draw(st.lists(st.sampled_from(WORDS[language]), max_size=most_words - 1))]:
            length = pace * len(text)
            space = "" if is_unspaced(language) else " "
            words.append(Word(space + text, clock, clock + length, draw(st.sampled_from([0.4, 1.0])), language))
            clock += length + draw(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 1.1]))
        text = "".join(word.text for word in words).strip()
        speaker = draw(st.sampled_from(speakers))
        segments.append(Segment(words[0].start, words[-1].end, language, text, tuple(words), speaker))
        clock += draw(st.sampled_from([*PAUSES, 12.0]))
    return segments
