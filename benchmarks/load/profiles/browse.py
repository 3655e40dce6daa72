"""Sign in and browse: a page that looks at its jobs again and again, and now and then at everything else."""

import random

from locust import task

from benchmarks.load.profiles.user import OctaviaUser


class Browser(OctaviaUser):
    """Logs in once. Lists are asked for with the tag of the last answer, as a browser's cache does."""

    def on_start(self) -> None:
        super().on_start()
        self._tags: dict[str, str] = {}

    def _look(self, path: str, name: str) -> None:
        tag = self._tags.get(path)
        given = {"If-None-Match": tag} if tag else {}
        answer = self.call("GET", path, name=name, expect=(200, 304), headers={**self.bearer(), **given})
        self._tags[path] = str(answer.headers["etag"])

    @task(8)
    def jobs(self) -> None:
        self._look("/v1/jobs?limit=20", "/v1/jobs")

    @task(2)
    def jobs_anew(self) -> None:
        self.get("/v1/jobs?limit=20", name="/v1/jobs (without a tag)")

    @task(5)
    def job(self) -> None:
        if self.own_jobs:
            self.get(f"/v1/jobs/{random.choice(self.own_jobs)}", name="/v1/jobs/{id}")

    @task(2)
    def credits(self) -> None:
        self.get("/v1/credits")

    @task(1)
    def languages(self) -> None:
        self.get("/v1/languages")

    @task(1)
    def voices(self) -> None:
        self.get("/v1/voices")

    @task(1)
    def media(self) -> None:
        self.get("/v1/media?limit=20", name="/v1/media")

    @task(1)
    def me(self) -> None:
        self.get("/v1/me")
