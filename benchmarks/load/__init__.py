"""Load on the API by locust: profiles of users, run in a process of their own, and what they saw.

    python -m benchmarks.load [--profile browse,translate,webhooks,watchers] [--users N] [--seconds S] [--host URL]

`run` is the same for other programs, `Locust` for those that do something meanwhile. locust's gevent changes the whole
process it is imported in, so nothing but `profiles/` imports it.
"""

from benchmarks.load.running import Locust, run
from benchmarks.load.stats import LoadResult, Requests

__all__ = ["LoadResult", "Locust", "Requests", "run"]
