"""Text before it is spoken: cleaning what is hostile, and cutting what is too long at its punctuation."""

import re
import unicodedata

CUTS = (  # tried in this order: the end of a sentence, of a clause, of a phrase, of a word
    re.compile(r"(?<=[.!?…。！？])[\"'”’»)\]]*\s*"),
    re.compile(r"(?<=[;:；：—–])\s*"),
    re.compile(r"(?<=[,，、])\s*"),
    re.compile(r"(?<=\s)"),
)


def clean(text: str) -> str:
    """One line of printable text: control and format characters gone, white space collapsed, brackets that espeak-ng
    would read as phoneme codes ([[…]]) opened.
    """
    printable = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs", "Co") else c for c in text)
    return re.sub(r"\s+", " ", printable.replace("[[", "[ [").replace("\ufeff", "")).strip()


def is_speakable(text: str) -> bool:
    """Whether there is any letter or digit to say."""
    return any(character.isalnum() for character in text)


def split_text(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` characters that together hold all of the text, cut where it hurts least."""
    pieces = [text]
    for cut in CUTS:
        if all(len(piece) <= limit for piece in pieces):
            break
        pieces = [
            part for piece in pieces for part in (_merge(cut.split(piece), limit) if len(piece) > limit else [piece])
        ]
    hard = [piece[at : at + limit] for piece in pieces for at in range(0, len(piece), limit)]
    return [piece.strip() for piece in hard if is_speakable(piece)]


def _merge(parts: list[str], limit: int) -> list[str]:
    """Neighbouring parts joined again as long as they stay within the limit."""
    merged: list[str] = []
    for part in parts:
        if merged and len(merged[-1]) + len(part) + 1 <= limit:
            merged[-1] = f"{merged[-1].rstrip()} {part}"
        elif part:
            merged.append(part)
    return merged
