"""Bytes of every encoding subtitles come in."""

import pytest

from orchestrator.subtitles.decode import UnknownEncodingError, decode, seems_text

TEXTS = {
    "cp1252": "Où êtes-vous allé hier soir ? Je ne sais pas. C'était très étrange, n'est-ce pas ?",
    "cp1251": "Привет, как дела? Я не знаю, что сказать. Он ушёл вчера вечером.",
    "cp1250": "Příliš žluťoučký kůň úpěl ďábelské ódy. Kde jsi byl včera?",
    "cp1253": "Καλημέρα, τι κάνεις; Δεν ξέρω τι να πω.",
    "cp1256": "مرحبا، كيف حالك؟ لا أعرف ماذا أقول.",
    "cp932": "こんにちは、元気ですか？何を言えばいいのか分かりません。",
    "gb18030": "你好，你怎么样？我不知道该说什么。",
    "cp949": "안녕하세요, 어떻게 지내세요? 무슨 말을 해야 할지 모르겠어요.",
}


def srt(text: str) -> str:
    return f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n"


@pytest.mark.parametrize("encoding", TEXTS)
def test_code_pages_are_told_by_their_text_and_said(encoding: str) -> None:
    found = decode(srt(TEXTS[encoding]).encode(encoding))
    assert found.text == srt(TEXTS[encoding])
    assert [(each.code, each.line) for each in found.remarks] == [("encoding_guessed", 3)]
    assert found.encoding in found.remarks[0].reason


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("encoding", "marked"), [("utf-8", False), ("utf-8-sig", True)])
def test_utf_8_needs_no_guess(text: str, encoding: str, marked: bool) -> None:
    found = decode(srt(text).encode(encoding))
    assert (found.text, found.encoding, found.marked, found.remarks) == (srt(text), "utf-8", marked, ())


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_is_known_with_and_without_its_mark(text: str, encoding: str, mark: str) -> None:
    data = (mark + srt(text)).encode(encoding)
    found = decode(data)
    assert (found.text, found.encoding, found.marked, found.remarks) == (srt(text), encoding, bool(mark), ())
    assert seems_text(data)


def test_utf_16_that_is_cut_off_says_where() -> None:
    found = decode(("\ufeff" + srt("Hello")).encode("utf-16-le")[:-1])
    assert [(each.code, each.line) for each in found.remarks] == [("undecodable", 3)]
    assert "Hello" in found.text


@pytest.mark.parametrize("legacy", ["cp1252", "cp1251"])
def test_a_file_glued_together_from_two_encodings_is_read_line_by_line(legacy: str) -> None:
    first, second = srt("Já não sei, ó Привет"), srt(TEXTS[legacy])
    found = decode(first.encode() + second.encode(legacy))
    assert found.text == first + second
    assert [(each.code, each.line) for each in found.remarks] == [("mixed_encodings", 6)]


def test_bytes_no_encoding_has_are_refused() -> None:
    with pytest.raises(UnknownEncodingError, match="UTF-8"):
        decode(srt("").encode() + bytes(range(128, 256)) * 20)


def test_control_characters_are_left_out_and_line_ends_kept() -> None:
    assert decode(b"a\0b\x1b\tc\r\nd\re\n\x7f").text == "ab\tc\r\nd\re\n"


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x18ftypmp42", b"RIFF\x24\0\0\0WAVEfmt ", b"\x1aE\xdf\xa3\x01\0\0", b"ID3\x03\0\0"]
)
def test_media_files_do_not_seem_text(head: bytes) -> None:
    assert not seems_text(head)
