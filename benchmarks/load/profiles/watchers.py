"""Progress watchers: each keeps the event stream of a job open, and comes back with Last-Event-ID when it ends."""

from locust import task

from benchmarks.load.profiles.streaming import follow
from benchmarks.load.profiles.user import OctaviaUser


class Watcher(OctaviaUser):
    @task
    def watch(self) -> None:
        follow(self, self.jobs[0])
