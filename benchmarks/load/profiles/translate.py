"""Upload and translate: a file goes up, is priced, becomes a job that is followed, and its results come down."""

import time
from pathlib import Path
from uuid import uuid4

from locust import task
from locust.exception import RescheduleTask

from benchmarks.load.profiles.streaming import follow
from benchmarks.load.profiles.user import TOLD, OctaviaUser

FILE = Path(TOLD["file"] or Path(__file__).parents[1] / "subtitles.srt")
REQUEST = TOLD["request"] or {"kind": "subtitle_translation", "source_language": "en", "target_languages": ["es"]}
WHOLE = "upload to download"


class Translator(OctaviaUser):
    @task
    def translate(self) -> None:
        began = time.perf_counter()
        files = {"file": (FILE.name, FILE.read_bytes(), "application/octet-stream")}
        media = self.call("POST", "/v1/media", expect=(201,), headers=self.bearer(), files=files).json()["id"]
        wish = {"media_id": media, **REQUEST}
        self.call("POST", "/v1/jobs/quote", headers=self.bearer(), json=wish)
        once = {**self.bearer(), "Idempotency-Key": str(uuid4())}
        job = self.call("POST", "/v1/jobs", expect=(200, 201), headers=once, json=wish).json()["id"]
        outcome = follow(self, job)
        if outcome != "completed":
            self.report("JOB", WHOLE, 0.0, RuntimeError(f"the job {outcome}"))
            raise RescheduleTask
        for each in self.get(f"/v1/jobs/{job}", name="/v1/jobs/{id}").json()["artifacts"]:
            self.get(f"/v1/jobs/{job}/artifacts/{each['name']}", name="/v1/jobs/{id}/artifacts/{name}")
        self.report("JOB", WHOLE, (time.perf_counter() - began) * 1e3)
