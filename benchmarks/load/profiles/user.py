"""What all profiles share: an account, a token, the policy of repeats, and a note of each request."""

import itertools
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import geventhttpclient.client
from locust import FastHttpUser, events
from locust.exception import RescheduleTask

from benchmarks.load.policy import pause_after
from benchmarks.load.stats import REPEATED

# The library asks again by itself where a connection closes under a request that is safe to repeat. That would hide
# what a server loses.
geventhttpclient.client.IDEMPOTENT_METHODS = frozenset()

TOLD: dict[str, Any] = json.loads(Path(os.environ["OCTAVIA_LOAD"]).read_text())
"""What `Locust` told this process."""
RENEW_AT = 0.7
"""Share of an access token's life after which the next one is got."""
AFTER_FAILURE_S = 1.0
"""Nobody asks on without a pause where nothing answers."""

_numbers = itertools.count()
_notes = Path(TOLD["notes"]).open("a", buffering=1)  # noqa: SIM115  (until the process ends)


@events.request.add_listener  # type: ignore[untyped-decorator]
def _note(
    request_type: str, name: str, response_time: float, exception: Exception | None, start_time: float, **_: object
) -> None:
    error = "" if exception is None else " ".join(str(exception).split()) or type(exception).__name__
    _notes.write(f"{start_time:.3f}\t{request_type}\t{name}\t{response_time:.1f}\t{error}\n")


class OctaviaUser(FastHttpUser):
    """Somebody with an account, who logs in once."""

    abstract = True
    logs_in = True
    network_timeout = 120.0

    def wait_time(self) -> float:
        """A think time around the mean, the same for all that have none."""
        return float(TOLD["think_s"]) * (0.5 + (next(_numbers) * 0.618) % 1)

    def on_start(self) -> None:
        self.number = next(_numbers)
        self._account: dict[str, Any] = TOLD["accounts"][self.number % len(TOLD["accounts"])] if self.logs_in else {}
        self.own_jobs: Sequence[str] = self._account.get("jobs", ())
        self._login: dict[str, Any] = {}
        self._renew_at = 0.0

    def bearer(self) -> dict[str, str]:
        """The header of a login, which is begun with the first request and renewed in time."""
        if not self._login:
            form = {"email": self._account["email"], "password": self._account["password"]}
            self._take(self.call("POST", "/v1/auth/login", json=form))
        elif time.monotonic() > self._renew_at:
            form = {"refresh_token": self._login["refresh_token"]}
            self._take(self.call("POST", "/v1/auth/refresh", json=form))
        return {"Authorization": f"Bearer {self._login['access_token']}"}

    def _take(self, answer: Any) -> None:
        self._login = answer.json()
        self._renew_at = time.monotonic() + RENEW_AT * float(self._login["expires_in"])

    def call(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        expect: Sequence[int] = (200,),
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """The answer, asked for again as the policy says. One that fails for good ends the task (RescheduleTask)."""
        for attempts in itertools.count(1):
            with self.client.request(
                method,
                path,
                name=name,
                headers=dict(headers or {}),
                catch_response=True,
                allow_redirects=False,
                **options,
            ) as answer:
                status = answer.status_code
                if status in expect and answer.request_meta["exception"] is None:
                    answer.success()
                    return answer
                pause = pause_after(status, dict(answer.headers.items() if answer.headers else ()), attempts)
                if pause is None:
                    reason = answer.request_meta["exception"] or f"{status}: {(answer.text or '')[:200]}"
                    answer.failure(reason)
                else:
                    answer.request_meta["request_type"] = REPEATED
                    answer.success()
            if pause is None:
                gevent.sleep(AFTER_FAILURE_S)
                raise RescheduleTask
            gevent.sleep(pause)
        raise AssertionError("unreachable")

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, headers=self.bearer(), **options)

    def count_repeat(self, name: str) -> None:
        """Something was asked for again by the policy without a refusal, as a stream that ended is."""
        self.report(REPEATED, name, 0.0)

    def report(self, kind: str, name: str, milliseconds: float, error: Exception | None = None) -> None:
        """Something that is no request of its own has gone well or failed."""
        events.request.fire(  # type: ignore[no-untyped-call]
            request_type=kind,
            name=name,
            response_time=milliseconds,
            response_length=0,
            exception=error,
            start_time=time.time() - milliseconds / 1e3,
            context={},
        )
