"""Progress watchers: each keeps the event stream of a job open, and comes back with Last-Event-ID when it ends."""

import gevent
from locust import task

from benchmarks.load.profiles.streaming import follow
from benchmarks.load.profiles.user import OctaviaUser

AFTER_END_S = 1.0


class Watcher(OctaviaUser):
    @task
    def watch(self) -> None:
        follow(self, self.own_jobs[0])
        gevent.sleep(AFTER_END_S)
