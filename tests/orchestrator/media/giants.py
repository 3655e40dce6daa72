"""Small files that claim to be giants: in size, in length, in number, in depth."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.orchestrator.media.boxes import box, rewritten
from tests.orchestrator.media.clips import ffmpeg

Giant = Callable[[Path], bytes]
"""Makes the content in a folder of its own."""

TEN_HOURS = 36_000
HUGE = 10**9


def clip(folder: Path, name: str = "clip.mp4", arguments: str = "{picture} {tone} {h264} -c:a aac") -> bytes:
    ffmpeg(folder, f"{arguments} {name}")
    return (folder / name).read_bytes()


def ebml(number: int, content: bytes) -> bytes:
    """A Matroska element."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + (2**56 | len(content)).to_bytes(8, "big") + content


def integer(value: int) -> bytes:
    return value.to_bytes(8, "big")


def head(document: bytes = b"matroska") -> bytes:
    return ebml(0x1A45DFA3, ebml(0x4282, document) + ebml(0x4287, b"\4") + ebml(0x4285, b"\2"))


def track(number: int, kind: int, codec: bytes, more: bytes = b"") -> bytes:
    return ebml(
        0xAE,
        ebml(0xD7, integer(number))
        + ebml(0x73C5, integer(number))
        + ebml(0x83, bytes([kind]))
        + ebml(0x86, codec)
        + more,
    )


def mkv(tracks: bytes, *blocks: bytes, duration: float = 3000.0) -> bytes:
    info = ebml(0x1549A966, ebml(0x2AD7B1, integer(1_000_000)) + ebml(0x4489, struct.pack(">d", duration)))
    cluster = ebml(0x1F43B675, ebml(0xE7, b"\0") + b"".join(ebml(0xA3, block) for block in blocks))
    return head() + ebml(0x18538067, info + ebml(0x1654AE6B, tracks) + cluster)


def picture_track(width: int, height: int) -> bytes:
    size = ebml(0xB0, integer(width)) + ebml(0xBA, integer(height))
    return track(1, 1, b"V_UNCOMPRESSED", ebml(0xE0, size + ebml(0x2EB524, b"I420")))


FRAME = "-f lavfi -i color=size={size}:duration=0.04 -c:v mjpeg -pix_fmt yuvj420p"


def swollen(folder: Path) -> bytes:
    """A WebM file whose frames are larger than its header says."""
    data = clip(folder, "clip.webm", "{picture} {tone} -c:v libvpx -deadline realtime -c:a libvorbis")
    size = b"\x9d\x01\x2a" + struct.pack("<HH", 160, 120)
    assert size in data
    return data.replace(size, b"\x9d\x01\x2a\xff\x3f\xff\x3f")


def described_larger(content: bytes) -> bytes:
    """`stsd` whose picture is 65535 pixels wide and high."""
    return content[:40] + struct.pack(">HH", 65535, 65535) + content[44:] if b"avc1" in content else content


def counted(count: int) -> Callable[[bytes], bytes]:
    """`stsz` that says there are so many samples of one byte."""
    return lambda _: struct.pack(">III", 0, 1, count)


def lasting(seconds: int) -> dict[bytes, Callable[[bytes], bytes]]:
    """Headers of an MP4 that promise so many seconds."""

    def header(at: int, scale: int) -> Callable[[bytes], bytes]:
        def change(content: bytes) -> bytes:
            (unit,) = struct.unpack_from(">I", content, scale) if scale else (1000,)
            return content[:at] + struct.pack(">I", seconds * unit) + content[at + 4 :]

        return change

    return {b"mvhd": header(16, 12), b"tkhd": header(20, 0), b"mdhd": header(16, 12), b"elst": lambda _: bytes(8)}


def spread(content: bytes) -> bytes:
    """`stts` that stretches its samples over ten hours and more."""
    (count,) = struct.unpack_from(">I", content, 4)
    (samples,) = struct.unpack_from(">I", content, 8)
    return struct.pack(">IIII", 0, 1, samples * count, TEN_HOURS * 12_800 // max(1, samples))


def replaced_moov(folder: Path, change: Callable[[bytes], bytes]) -> bytes:
    return rewritten(clip(folder), {b"moov": change})


def crowd(folder: Path) -> bytes:
    """An MP4 with five thousand tracks."""

    def change(moov: bytes) -> bytes:
        at = moov.index(b"trak") - 4
        (size,) = struct.unpack_from(">I", moov, at)
        return moov + moov[at : at + size] * 5000

    return replaced_moov(folder, change)


def nested(kind: bytes, depth: int, inner: bytes = b"") -> bytes:
    """Boxes within boxes; all of them as long as the rest."""
    return b"".join(struct.pack(">I4s", 8 * (depth - at) + len(inner), kind) for at in range(depth)) + inner


def compressed_index(folder: Path) -> bytes:
    """An index compressed to a thousandth (`cmov`), of two gigabytes."""
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(bytes(2**20)) for _ in range(64)) + packed.flush()
    body = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 2**31 - 1) + data)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"cmov", body)) + box(b"mdat", bytes(1000))


def compressed_blocks(_: Path) -> bytes:
    """Matroska blocks compressed to a thousandth."""
    packed = zlib.compress(bytes(64 * 2**20), 9)
    coding = ebml(0x6D80, ebml(0x6240, ebml(0x5034, ebml(0x4254, b"\0"))))
    sound = ebml(0xE1, ebml(0xB5, struct.pack(">d", 48_000)) + ebml(0x9F, b"\1") + ebml(0x6264, b"\x10"))
    return mkv(
        track(1, 2, b"A_PCM/INT/LIT", sound + coding),
        *[b"\x81" + struct.pack(">hB", at, 0x80) + packed for at in range(100)],
    )


def tracks_of_matroska(_: Path) -> bytes:
    sound = ebml(0xE1, ebml(0xB5, struct.pack(">d", 48_000)) + ebml(0x9F, b"\1"))
    return mkv(
        b"".join(track(number, 2, b"A_PCM/INT/LIT", sound) for number in range(1, 20_000)), b"\x81\0\0\x80" + bytes(960)
    )


def chained(folder: Path) -> bytes:
    """An Ogg file of three thousand streams at once."""
    data = bytearray(clip(folder, "clip.ogg", "{tone} -c:a libvorbis"))
    first = data.index(b"OggS", 4)
    page = bytes(data[:first])
    pages = b""
    for serial in range(3000):
        changed = page[:14] + struct.pack("<I", serial) + page[18:22] + bytes(4) + page[26:]
        pages += changed[:22] + struct.pack("<I", ogg_sum(changed)) + changed[26:]
    return pages + bytes(data)


def ogg_sum(page: bytes) -> int:
    """CRC-32 of Ogg: polynomial 0x04c11db7, not reflected, from zero."""
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1) ^ 0x04C11DB7 if total & 0x80000000 else total << 1
        total &= 0xFFFFFFFF
    return total


def wav(rate: int, channels: int, data: int, content: bytes) -> bytes:
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * channels * 2) & 0xFFFFFFFF, (channels * 2) & 0xFFFF, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", data)
        + content
    )


def zipped(_: Path) -> bytes:
    """A zip archive that says it is a thousand times as long."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(packed.compress(bytes(2**20)) for _ in range(64)) + packed.flush()
    return b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(data), 2**26, 5, 0) + b"a.mp4" + data


def cover(folder: Path) -> bytes:
    """Sound with a cover of 30,000 by 30,000 pixels, in a few kilobytes."""
    row = b"\0" + bytes(30_000 // 8)
    packed = zlib.compressobj(9)
    pixels = b"".join(packed.compress(row) for _ in range(30_000)) + packed.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    png += chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    frame = b"\0image/png\0\x03\0" + png
    frame = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    size = len(frame)
    head = b"ID3\x03\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return head + frame + clip(folder, "clip.mp3", "{tone}")


def titled(folder: Path) -> bytes:
    """A title of four megabytes."""
    (folder / "tags").write_text(";FFMETADATA1\ntitle=" + "x" * 4_000_000 + "\n")
    return clip(folder, "clip.mp4", "{picture} {tone} -i tags -map 0 -map 1 -map_metadata 2 {h264} -c:a aac")


GIANTS: dict[str, Giant] = {
    "mp4 of 65535x65535": lambda folder: rewritten(clip(folder), {b"stsd": described_larger}),
    "mkv of 65535x65535": lambda _: mkv(picture_track(65535, 65535), b"\x81\0\0\x80" + bytes(9000)),
    "mov of 8194x4320": lambda folder: clip(folder, "clip.mov", FRAME.format(size="8194x4320")),
    "vp8 of 16383x16383 inside": swollen,
    "billion samples": lambda folder: rewritten(clip(folder), {b"stsz": counted(HUGE)}),
    "billion times": lambda folder: rewritten(clip(folder), {b"stts": lambda _: struct.pack(">IIII", 0, 1, HUGE, 512)}),
    "billion edits": lambda folder: rewritten(clip(folder), {b"elst": lambda _: struct.pack(">II", 0, HUGE)}),
    "ten hours in its headers": lambda folder: rewritten(clip(folder), lasting(TEN_HOURS)),
    "ten hours in its times": lambda folder: rewritten(clip(folder), lasting(TEN_HOURS) | {b"stts": spread}),
    "mkv of ten hours": lambda _: mkv(picture_track(64, 48), b"\x81\0\0\x80" + bytes(4608), duration=3.6e7),
    "wav of four gigabytes": lambda _: wav(8000, 1, 0xFFFFFFF0, bytes(8000)),
    "wav of 65535 channels": lambda _: wav(48_000, 65535, 131070 * 9, bytes(131070 * 9)),
    "wav of 4 GHz": lambda _: wav(0xFFFFFFFF, 1, 96_000, bytes(96_000)),
    "five thousand tracks": crowd,
    "mkv of twenty thousand tracks": tracks_of_matroska,
    "ogg of three thousand tracks": chained,
    "deep boxes": lambda _: box(b"ftyp", b"isomiso2\0\0\0\0") + nested(b"moov", 200_000),
    "deep other boxes": lambda folder: replaced_moov(folder, lambda moov: moov + nested(b"udta", 100_000)),
    "a compressed index": compressed_index,
    "compressed blocks": compressed_blocks,
    "a zip archive": zipped,
    "a cover of 900 million pixels": cover,
    "a title of four megabytes": titled,
}
