"""Why an upload is not begun, or does not go on."""

from orchestrator.errors import OctaviaError
from orchestrator.uploads.models import Upload


def megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MB"


class TooManyUploadsError(OctaviaError):
    def __init__(self, limit: int) -> None:
        message = f"You have {limit} open uploads, and more are not possible. Finish or delete some (/v1/uploads)."
        super().__init__("too_many_uploads", message, 409, headers={"Connection": "close"}, limit=limit)


class QuotaExceededError(OctaviaError):
    """The user's media and open uploads leave no room for the file."""

    def __init__(self, limit: int, used: int) -> None:
        super().__init__(
            "quota_exceeded",
            f"There is no room for this file: of your {megabytes(limit)}, {megabytes(used)} are taken by media and open"
            " uploads. Delete what you do not need any more, or wait until it expires.",
            413,
            headers={"Connection": "close"},
            limit=limit,
            used=used,
        )


class UploadGoneError(OctaviaError):
    """Ended by its owner, or by time."""

    def __init__(self, upload: Upload) -> None:
        message = f"Upload {upload.id} was deleted or has expired, with all that was sent. Begin a new one."
        super().__init__("upload_gone", message, 410)


class WrongOffsetError(OctaviaError):
    def __init__(self, upload: Upload, given: int) -> None:
        message = f"{upload.received} bytes are here, so go on from there and not from {given}. Ask with HEAD first."
        super().__init__("wrong_offset", message, 409, offset=upload.received)


class UploadLockedError(OctaviaError):
    """Another request is writing, or what was sent is being checked."""

    def __init__(self, retry_after_s: int) -> None:
        message = "Another request is sending to this upload right now. Wait for it to end, then ask for the offset."
        super().__init__("upload_locked", message, 423, headers={"Retry-After": str(retry_after_s)})


class TakenOverError(OctaviaError):
    """This request was silent for so long that another one took the upload over, or its owner deleted it."""

    def __init__(self) -> None:
        message = "Another request goes on with this upload. Ask for the offset."
        super().__init__("upload_taken_over", message, 409, headers={"Connection": "close"})


class BeyondLengthError(OctaviaError):
    def __init__(self, length: int) -> None:
        message = f"The body goes beyond the {length} bytes the upload was announced with. Begin a new upload."
        super().__init__("beyond_length", message, 413, headers={"Connection": "close"}, length=length)


class AlreadyMediaError(OctaviaError):
    def __init__(self, upload: Upload) -> None:
        message = f"Upload {upload.id} has become media {upload.id}: it is the media that can be deleted."
        super().__init__("upload_completed", message, 409)
