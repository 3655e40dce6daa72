"""Times as subtitle files write them."""

import re

_TIME = re.compile(r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?")


def write(seconds: float, mark: str) -> str:
    """Seconds as hh:mm:ss and milliseconds behind `mark`; hours may have more than two digits."""
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"


def read(text: str) -> float:
    """Seconds of a time with or without hours, with a comma or a point. Raises ValueError for anything else."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        raise ValueError(f"'{text.strip()}' is not a time")
    hours, minutes, seconds, fraction = match.groups()
    whole = (int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int((fraction or "").ljust(3, "0"))) / 1000


def read_signed(text: str) -> float:
    """As `read`, with a sign where somebody shifted a file too far. Raises ValueError."""
    bare = text.strip()
    return -read(bare[1:]) if bare.startswith("-") else read(bare.removeprefix("+"))
