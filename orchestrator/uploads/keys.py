"""Where the parts of uploads lie in storage."""

from uuid import UUID


def everything(upload_id: UUID) -> str:
    """The prefix of all an upload's parts."""
    return f"uploads/{upload_id}"


def part(upload_id: UUID, start: int, writer: UUID) -> str:
    """The part of one writer that begins at a byte: writers never share an object."""
    return f"uploads/{upload_id}/{start:015d}-{writer}"
