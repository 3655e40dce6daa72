"""Webhook deliveries as Polar makes them: signed, at least once, best effort in order, retried with growing pauses."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

import httpx

from tests.standins.polar.shapes import Json, stamp

Scheme = Literal["old", "new"]

ATTEMPTS = 10
TIMEOUT_S = 10.0
LONGEST_PAUSE_S = 1200.0
DISABLED_AFTER = 10
"""Events in a row that failed for good."""


@dataclass(frozen=True, slots=True)
class Key:
    """A webhook secret and how the signing key is made of it.

    old: its bytes as a whole. new: what the base64 after the prefix stands for.
    """

    secret: str
    scheme: Scheme

    @property
    def bytes(self) -> bytes:
        if self.scheme == "old":
            return self.secret.encode()
        return base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)


def make_key(scheme: Scheme) -> Key:
    """A secret as Polar makes them before 2026-09-08 (old) and since (new)."""
    if scheme == "new":
        return Key("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(), scheme)
    letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    return Key("polar_whs_" + "".join(secrets.choice(letters) for _ in range(43)), scheme)


def signed(key: Key, event_id: str, body: str, *, at: float | None = None) -> dict[str, str]:
    """The headers of a delivery at that time (Unix seconds; now)."""
    timestamp = int(time.time() if at is None else at)
    digest = hmac.new(key.bytes, f"{event_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "polar.sh webhooks",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


@dataclass
class Event:
    """Something that happened, and how its delivery goes."""

    id: str
    type: str
    body: str
    attempts: int = 0
    state: Literal["pending", "delivered", "failed", "skipped"] = "pending"

    @property
    def data(self) -> Json:
        data: Json = json.loads(self.body)["data"]
        return data


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery and its answer; no status where there was none."""

    event_id: str
    type: str
    number: int
    at: float
    seconds: float
    status: int | None
    error: str | None = None


@dataclass
class Deliveries:
    """The webhook endpoint as Polar knows it. Without a URL nothing is sent, and events wait for one.

    `time_scale` shortens the pauses between attempts (10 of them, 27 to 54 minutes in all at 1). `concurrency` is how
    many first attempts are under way at once: at 1 they come in order. Each event is delivered `copies` times, each
    first attempt after a random part of `delay_s` seconds. `stale_s` is taken from the timestamps that are signed.
    """

    url: str | None
    key: Key
    api_version: str | None = "2026-04"
    time_scale: float = 1.0
    concurrency: int = 1
    copies: int = 1
    delay_s: float = 0.0
    stale_s: float = 0.0
    timeout_s: float = TIMEOUT_S
    seed: int = 0
    enabled: bool = True
    types: frozenset[str] | None = None
    events: list[Event] = field(default_factory=list)
    lost: list[Event] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._held: list[Event] | None = None
        self._to_lose = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=600)  # `timeout_s` ends it

    def start(self) -> None:
        for _ in range(self.concurrency):
            self._spawn(self._send_for_ever())
        for event in self.events:
            if event.state == "pending":
                self._enqueue(event)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def post(self, type_: str, data: Json, *, event_id: str | None = None) -> Event:
        """Something happened: deliver it."""
        envelope: Json = {"type": type_, "timestamp": stamp(datetime.now(UTC)), "data": data}
        if self.api_version is not None:
            envelope["api_version"] = self.api_version
        event = Event(event_id or str(uuid4()), type_, json.dumps(envelope, ensure_ascii=False))
        if not self.enabled or self._to_lose or (self.types is not None and type_ not in self.types):
            self._to_lose = max(0, self._to_lose - 1)
            self.lost.append(event)
            return event
        self.events.append(event)
        for _ in range(self.copies):
            self._enqueue(event)
        return event

    def aim(self, url: str) -> None:
        """The endpoint's URL from now on; what has waited for one is delivered."""
        waiting = [event for event in self.events if event.state == "pending" and not event.attempts]
        self.url, waited = url, self.url is None
        for event in waiting if waited else []:
            self._enqueue(event)

    def hold(self) -> None:
        """Keep what happens from now on until `release`."""
        self._held = self._held or []

    def release(self, *, shuffle: int | None = None) -> None:
        """Deliver what was kept, in an order of that seed where one is given."""
        held, self._held = self._held or [], None
        if shuffle is not None:
            random.Random(shuffle).shuffle(held)
        for event in held:
            self._enqueue(event)

    def lose(self, count: int = 1) -> None:
        """The next events are never delivered."""
        self._to_lose += count

    def disable(self) -> None:
        """As Polar does after ten failed events: nothing is delivered or kept, until `enable`."""
        self.enabled = False
        for event in self.events:
            if event.state == "pending":
                event.state = "skipped"
        self.changed()

    def enable(self) -> None:
        self.enabled = True

    def rotate(self, scheme: Scheme = "new") -> Key:
        """Another secret, at once and for retries too."""
        self.key = make_key(scheme)
        self.changed()
        return self.key

    def redeliver(self, event_id: str) -> None:
        """The same event once more, same id and body."""
        event = next((each for each in (*self.events, *self.lost) if each.id == event_id), None)
        if event is None:
            raise LookupError(f"there is no event {event_id}")
        if event in self.lost:
            self.lost.remove(event)
            self.events.append(event)
        if event.state != "delivered":
            event.state, event.attempts = "pending", 0
        self._enqueue(event)

    async def settled(self, timeout_s: float = 120) -> None:
        """Wait until nothing is to be delivered any more; what is held does not count."""
        await asyncio.wait_for(self._idle.wait(), timeout_s)

    def kept(self) -> Json:
        """What survives a restart."""
        return {"key": asdict(self.key), "events": [asdict(event) for event in self.events], "enabled": self.enabled}

    def restore(self, kept: Json, *, keep_key: bool) -> None:
        if not keep_key:
            self.key = Key(**kept["key"])
        self.events = [Event(**each) for each in kept["events"]]
        self.enabled = kept["enabled"]

    def _enqueue(self, event: Event) -> None:
        if self._held is not None:
            self._held.append(event)
            return
        self._begin()
        if self.delay_s:
            self._spawn(self._later(event, self._random.uniform(0, self.delay_s)))
        else:
            self._queue.put_nowait(event)

    def _begin(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _end(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_for_ever(self) -> None:
        while True:
            event = await self._queue.get()
            await self._once(event)

    async def _later(self, event: Event, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._once(event)

    async def _retry(self, event: Event, seconds: float) -> None:
        """Not where another attempt has got through meanwhile; later where deliveries are held."""
        await asyncio.sleep(seconds)
        if self._held is None and event.state == "pending":
            await self._once(event)
            return
        if event.state == "pending":
            self._enqueue(event)
        self._end()

    async def _once(self, event: Event) -> None:
        """One attempt; a failure leads to the next one, until the last."""
        try:
            if self.url is None or event.state == "skipped":
                return
            event.attempts += 1
            attempt = await self._attempt(event, self.url)
            self.attempts.append(attempt)
            if attempt.status is not None and 200 <= attempt.status < 300:
                event.state = "delivered"
            elif event.state == "pending" and event.attempts < ATTEMPTS:
                pause = min(2 * 2**event.attempts * self._random.uniform(1, 2), LONGEST_PAUSE_S)
                self._begin()
                self._spawn(self._retry(event, pause * self.time_scale))
            elif event.state == "pending":
                event.state = "failed"
                self._disable_where_all_failed()
            self.changed()
        finally:
            self._end()

    async def _attempt(self, event: Event, url: str) -> Attempt:
        began, status, error = time.time(), None, None
        headers = signed(self.key, event.id, event.body, at=began - self.stale_s)
        if self.api_version is not None:
            headers["webhook-api-version"] = self.api_version
        try:
            async with asyncio.timeout(self.timeout_s):
                response = await self._client.post(url, content=event.body.encode(), headers=headers)
            status = response.status_code
        except (httpx.HTTPError, TimeoutError) as failure:
            error = type(failure).__name__
        return Attempt(event.id, event.type, event.attempts, began, time.time() - began, status, error)

    def _disable_where_all_failed(self) -> None:
        finished = [event.state for event in self.events if event.state in ("delivered", "failed")]
        if len(finished) >= DISABLED_AFTER and set(finished[-DISABLED_AFTER:]) == {"failed"}:
            self.disable()
