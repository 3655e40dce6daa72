"""Media files and lists with something wrong in them: the same for the same seed, everywhere."""

import random
import re
import struct
from collections.abc import Callable, Sequence

Mutation = Callable[[bytearray, random.Random], bytes]

TAGS = re.compile(
    rb"(?:ftyp|moov|trak|mdia|minf|stbl|stsd|stts|stss|ctts|stsc|stsz|stco|elst|edts|mvhd|tkhd|mdhd|hdlr|dref|udta|meta"
    rb"|ilst|mdat|esds|avcC|RIFF|LIST|avih|strh|strf|movi|idx1|fmt |data|OggS|fLaC|ID3|APIC|FLV)"
)
"""Names of boxes, chunks and pages; their lengths stand beside them."""
LENGTHS = (0, 1, 7, 8, 9, 15, 16, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def flip(data: bytearray, chance: random.Random) -> bytes:
    """One bit to two hundred."""
    for _ in range(chance.choice((1, 3, 20, 200))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flip_head(data: bytearray, chance: random.Random) -> bytes:
    """Bits of the first two kilobytes, where headers are."""
    for _ in range(chance.choice((1, 3, 10))):
        data[chance.randrange(min(2048, len(data)))] ^= 1 << chance.randrange(8)
    return bytes(data)


def cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(1, len(data))])


def cut_in_header(data: bytearray, chance: random.Random) -> bytes:
    """Broken off in or beside the header of a box, chunk or page."""
    found = [match.start() for match in TAGS.finditer(data)] or [len(data) // 2]
    return bytes(data[: max(1, chance.choice(found) + chance.randrange(-4, 17))])


def behead(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[chance.randrange(1, min(4096, len(data))) :])


def swap(data: bytearray, chance: random.Random) -> bytes:
    """Two blocks in each other's place."""
    size = chance.choice((16, 256, 4096))
    first, second = (chance.randrange(max(1, len(data) - size)) for _ in range(2))
    data[first : first + size], data[second : second + size] = data[second : second + size], data[first : first + size]
    return bytes(data)


def repeat(data: bytearray, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((8, 512, 8192))
    return bytes(data[:at] + data[at : at + size] * chance.choice((2, 50)) + data[at:])


def blank(data: bytearray, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data)), chance.choice((4, 64, 2048))
    data[at : at + size] = bytes([chance.choice((0, 0xFF))]) * size
    return bytes(data)


def noise(data: bytearray, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return bytes(data[:at]) + chance.randbytes(chance.choice((1, 100, 5000))) + bytes(data[at:])


def lie(data: bytearray, chance: random.Random) -> bytes:
    """A length beside one of the known names, in either byte order."""
    found = [match.span() for match in TAGS.finditer(data)]
    for start, end in chance.sample(found, min(len(found), chance.choice((1, 2, 5)))):
        at = chance.choice((start - 4, end, end + 4, end + 8))
        if 0 <= at <= len(data) - 4:
            data[at : at + 4] = struct.pack(chance.choice((">I", "<I")), chance.choice(LENGTHS))
    return bytes(data)


def large(data: bytearray, chance: random.Random) -> bytes:
    """A small number becomes a huge one."""
    for _ in range(50):
        at = chance.randrange(max(1, min(len(data) - 4, 4096)))
        if data[at : at + 3] == b"\0\0\0":
            data[at : at + 4] = struct.pack(">I", chance.choice(LENGTHS))
            break
    return bytes(data)


MEDIA: Sequence[Mutation] = (
    *(flip, flip_head, cut, cut_in_header, behead, swap, repeat, blank, noise, lie, lie, large),
)


def shuffle(data: bytearray, chance: random.Random) -> bytes:
    lines = bytes(data).splitlines(keepends=True)
    chance.shuffle(lines)
    return b"".join(lines)


def multiply(data: bytearray, chance: random.Random) -> bytes:
    lines = bytes(data).splitlines(keepends=True)
    at = chance.randrange(len(lines))
    return b"".join([*lines[:at], *lines[at : at + 1] * 20_000, *lines[at:]])


def renumber(data: bytearray, chance: random.Random) -> bytes:
    numbers = (b"-1", b"0", b"99999999999999999999", b"1e309", b"nan", b"2147483648", b"%d")
    return re.sub(rb"\d+", lambda match: chance.choice((match[0], match[0], chance.choice(numbers))), bytes(data))


def encode(data: bytearray, chance: random.Random) -> bytes:
    return (
        bytes(data)
        .decode("utf-8", "replace")
        .encode(chance.choice(("utf-16", "utf-16-be", "utf-8-sig", "cp1252")), "replace")
    )


def prefix(data: bytearray, chance: random.Random) -> bytes:
    """Something like another file's beginning before it."""
    heads = (
        b"\xef\xbb\xbf",
        b"\0",
        b"\n" * 1000,
        b"ID3\x03\0\0\0\0\0\0",
        b"RIFF\xff\xff\xff\xffWAVE",
        b"\0\0\0\x08ftyp",
    )
    return chance.choice(heads) + bytes(data)


TEXT: Sequence[Mutation] = (flip, cut, shuffle, multiply, renumber, encode, prefix, noise)


def mutant(name: str, data: bytes, number: int, mutations: Sequence[Mutation] = MEDIA) -> tuple[str, bytes]:
    """What was done to the file, and the file."""
    chance = random.Random(f"{name} {number}")
    mutation = mutations[number % len(mutations)]
    return f"{name} {number} {mutation.__name__}", mutation(bytearray(data), chance)
