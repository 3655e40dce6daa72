"""Which language a text is in, and what of a cue is said aloud."""

import pytest

from orchestrator.subtitles.language import certain, identify
from orchestrator.subtitles.spoken import spoken


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("He was not an ill-disposed young man, unless to be rather cold-hearted is to be ill-disposed.", "en"),
        ("No era un joven de mala índole, a menos que ser bastante frío sea tener mala índole.", "es"),
        ("Er war kein übel gesinnter junger Mann, es sei denn, kaltherzig zu sein heißt übel gesinnt sein.", "de"),
        ("Привет, как дела? Я не знаю, что сказать. Он ушёл вчера вечером.", "ru"),
        ("こんにちは、元気ですか？何を言えばいいのか分かりません。", "ja"),
        ("OK", None),
        ("42 … 17", None),
        ("Hmm. Ah! Oh.", None),
        ("", None),
    ],
)
def test_a_language_is_told_only_where_it_is_certain(text: str, language: str | None) -> None:
    assert certain(text) == language


def test_a_long_text_is_looked_at_all_over() -> None:
    text = "A" * 30_000 + " He was not an ill-disposed young man at all, and nobody said so." * 2_000
    found = identify(text)
    assert found
    assert found[0] == "en"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello,\nthere.", "Hello, there."),
        ("- Who?\n– Nobody.", "Who? Nobody."),
        ("[door slams]", ""),
        ("(sighs)", ""),
        ("Well [sighs] no.", "Well no."),
        ("He (my brother) left.", "He (my brother) left."),
        ("♪ la la ♪", "la la"),
        ("…", ""),
        ("", ""),
    ],
)
def test_words_are_said_and_sounds_are_not(text: str, said: str) -> None:
    assert spoken(text) == said
