"""A real video of any size."""

import random
import struct


def padded(video: bytes, size: int, seed: int = 1) -> bytes:
    """An MP4 made `size` bytes long by a `free` box of noise at its end, which players skip (ISO 14496-12, 8.1.2)."""
    rest = size - len(video)
    assert 8 <= rest < 2**32, "a box has 8 bytes of header, and 32 bits for its size"
    chance, left = random.Random(seed), rest - 8
    noise = (chance.randbytes(min(2**20, left - start)) for start in range(0, left, 2**20))
    return b"".join([video, struct.pack(">I4s", rest, b"free"), *noise])
