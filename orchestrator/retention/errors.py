"""What is said of files that are no more, and of those that cannot go yet."""

from uuid import UUID

from orchestrator.errors import OctaviaError
from orchestrator.jobs.models import Job
from orchestrator.media.models import Media


class ExpiredError(OctaviaError):
    """It was there, its time is over, and it does not come back."""

    def __init__(self, message: str) -> None:
        super().__init__("expired", message, 410)


class ResultsExpiredError(ExpiredError):
    def __init__(self, job: Job) -> None:
        when = f" on {job.withdrawn_at:%Y-%m-%d %H:%M} UTC" if job.withdrawn_at else ""
        super().__init__(f"The results of job {job.id} were deleted{when}. Run the job again to get them anew.")


class UploadExpiredError(ExpiredError):
    def __init__(self, media: Media) -> None:
        when = f" on {media.withdrawn_at:%Y-%m-%d %H:%M} UTC" if media.withdrawn_at else ""
        super().__init__(f"The file '{media.filename}' was deleted{when}. Upload it again.")


class DeletedJobError(OctaviaError):
    """A key was used before, for a job that its owner has deleted since."""

    def __init__(self, job_id: UUID) -> None:
        message = f"The job that this Idempotency-Key made, {job_id}, was deleted. Use a new key for a new job."
        super().__init__("job_deleted", message, 410)


class MediaInUseError(OctaviaError):
    def __init__(self, media_id: UUID, job_id: UUID) -> None:
        message = f"Media {media_id} is in use by job {job_id}. Cancel that first, or wait until it has ended."
        super().__init__("media_in_use", message, 409, job_id=str(job_id))


class JobOpenError(OctaviaError):
    def __init__(self, job: Job) -> None:
        super().__init__("job_open", f"Job {job.id} is {job.status}. Cancel it first; then it can be deleted.", 409)


class AdoptedError(OctaviaError):
    """What a regeneration has made are the files of its job now, and go with that."""

    def __init__(self, job: Job, regenerates: UUID) -> None:
        message = f"The results of job {regenerates} are what {job.id} has made anew. Delete job {regenerates} instead."
        super().__init__("results_in_use", message, 409, job_id=str(regenerates))
