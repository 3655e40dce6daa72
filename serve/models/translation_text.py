"""What of a text is translated: lines with words in them, in pieces that a model takes. Pure functions."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

NEWLINE = re.compile(r"(\r\n|\r|\n)")
IDEOGRAM = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]")
"""Kana, Han and Hangul: one of them can be a word."""

ADDRESS = re.compile(
    r"""(?:[a-z][a-z0-9+.-]*://|www\.)\S+        # URL
    |   [^\s@]+@[^\s@]+\.[^\s@]+                 # e-mail
    |   [@\#][\w.]+                              # handle, tag
    |   [a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|edu|gov|info|io|dev|app)(?:/\S*)?  # host
    """,
    re.VERBOSE | re.IGNORECASE,
)
AROUND = "()[]{}<>\"'.,;:!?…“”‘’«»¿¡"

SENTENCE_END = re.compile(r"(?<=[.!?…])(?P<close>[\"'”’»)\]]*)\s+(?=\S)|(?<=[。！？])(?=\S)")
CLAUSE_END = re.compile(r"(?<=[,;:—–.!?…])\s+(?=\S)|\s+(?=[—–-]\s)|(?<=[，；：、])(?=\S)")
ABBREVIATED = re.compile(r"(?:^|\W)(?:[A-Za-z]|Mr|Mrs|Ms|Dr|St|Sr|Sra|Prof|vs|etc|Nr|No|bzw|ca)\.$")


def cleaned(text: str) -> str:
    """One line as the models were trained on it: no control characters, single spaces, nothing around."""
    return " ".join("".join(" " if unicodedata.category(each) == "Cc" else each for each in text).split())


def is_text(text: str) -> bool:
    """Whether there is a word to translate: numbers, symbols, emoji, single letters, addresses and e-mails are none."""
    return any(_is_word(token) for token in text.split())


def _is_word(token: str) -> bool:
    if IDEOGRAM.search(token):
        return True
    bare = token.strip(AROUND)
    if ADDRESS.fullmatch(bare):
        return False
    run = 0
    for character in bare:
        kind = unicodedata.category(character)[0]
        if kind == "L" or (kind == "M" and run):
            run += 1
            if run == 2:
                return True
        elif character not in "'’":
            run = 0
    return False


def lines(text: str) -> list[str]:
    """Lines and the newlines between them, in order: their join is the text."""
    return NEWLINE.split(text)


def divided(text: str, tokens: Callable[[str], int], preferred: int, limit: int) -> list[str]:
    """The text whole where it has at most `preferred` tokens; else its sentences, and of a sentence above the limit its
    clauses, as few as fit into `preferred` tokens each. ValueError when a clause is longer than the limit.
    """
    if tokens(text) <= min(preferred, limit):
        return [text]
    pieces: list[str] = []
    for sentence in _cut(text, SENTENCE_END):
        if tokens(sentence) <= limit:
            pieces.append(sentence)
            continue
        clauses = _packed(list(_cut(sentence, CLAUSE_END)), tokens, min(preferred, limit))
        too_long = next((clause for clause in clauses if tokens(clause) > limit), None)
        if too_long is not None:
            raise ValueError(f"{tokens(too_long)} tokens without punctuation to divide them at")
        pieces += clauses
    return pieces


def _cut(text: str, border: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in border.finditer(text):
        end = match.end("close") if "close" in border.groupindex and match["close"] else match.start()
        if border is SENTENCE_END and (ABBREVIATED.search(text[start:end]) or text[match.end()].islower()):
            continue
        yield text[start:end]
        start = match.end()
    yield text[start:]


def _packed(pieces: Sequence[str], tokens: Callable[[str], int], size: int) -> list[str]:
    """Neighbours together as long as they fit."""
    packed: list[str] = []
    for piece in pieces:
        together = joined([*packed[-1:], piece])
        if packed and tokens(together) <= size:
            packed[-1] = together
        else:
            packed.append(piece)
    return packed


def joined(pieces: Sequence[str]) -> str:
    """Pieces with a space between them, but none after an ideogram or its punctuation."""
    text = ""
    for piece in pieces:
        gap = " " if text and piece and not (IDEOGRAM.match(text[-1]) or text[-1] in "。！？，；：、") else ""
        text += gap + piece
    return text
