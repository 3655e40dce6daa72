"""Somebody at the pages of the web frontend, who makes every call of the table once and keeps the answers."""

import email
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import policy
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx

from orchestrator.subtitles import clock
from tests.fixtures_system import System
from tests.web_frontend.table import ENTERING, PAYING, STARTING, VOICES, Call

PASSWORD = "a cottage at Barton"
PATIENCE_S = 240.0
POLL_S = 0.3
ENDED = ("completed", "failed", "cancelled")


def subrip(sentences: list[str], seconds: float = 5.0) -> str:
    """A cue of so many seconds for each sentence."""
    return "\n".join(
        f"{at + 1}\n{clock.write(at * seconds, ',')} --> {clock.write((at + 0.9) * seconds, ',')}\n{sentence}\n"
        for at, sentence in enumerate(sentences)
    )


@dataclass
class Followed:
    """A job as its page saw it: the credits before and after its start, each answer about it, its last one."""

    id: str
    before: int
    after: int
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        return self.seen[-1]


class Tour:
    """`known`: what fills the braces of the table. `answers`: by the call's route."""

    def __init__(self, octavia: System, files: Mapping[str, Path]) -> None:
        self.octavia, self.files = octavia, files
        self.api = str(octavia.state["api_url"])
        self.origin = octavia.environment["OCTAVIA_WEB_URL"]
        self.client = httpx.Client(base_url=self.api, headers={"Origin": self.origin}, timeout=300, trust_env=False)
        self.tokens: dict[str, str] = {}
        self.answers: dict[str, httpx.Response] = {}
        self.jobs: dict[str, Followed] = {}
        self.known: dict[str, str] = {"api": self.api, "email": "elinor@example.org", "password": PASSWORD}
        for call in ENTERING[:3]:
            if call.route.endswith("verify"):
                self.known["mailed"] = self.mailed(self.known["email"])
            self.answers[call.route] = self.send(call)
        self.tokens["user"] = self.answers["POST /api/auth/verify"].json()["token"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def mailed(self, address: str) -> str:
        """The token of the newest link mailed to the address."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for file in sorted((self.octavia.data_dir / "outbox").glob("*.eml"), reverse=True):
                mail = email.message_from_bytes(file.read_bytes(), policy=policy.default)
                text = mail.get_body(("plain",))
                if address in str(mail["To"]) and text and (found := re.search(r"token=(\S+)", text.get_content())):
                    return unquote(found[1])
            time.sleep(0.2)
        raise AssertionError("no mail came")

    def sign_up(self, address: str) -> str:
        """Another account, with its token."""
        asked = {"email": address, "password": PASSWORD, "name": "Edward"}
        assert self.client.post("/api/auth/signup", json=asked).status_code == 200
        verified = self.client.post("/api/auth/verify", files={"token": (None, self.mailed(address))})
        return str(verified.json()["token"])

    def token(self, login: str) -> str:
        if login not in self.tokens:
            if login == "spare":
                asked = {"email": self.known["email"], "password": PASSWORD}
                self.tokens[login] = self.client.post("/api/auth/login", json=asked).json()["token"]
            else:
                self.tokens[login] = self.sign_up(f"{login}@example.org")
        return self.tokens[login]

    def filled(self, text: str) -> str:
        """The text with what is known in its braces."""
        for name in re.findall(r"\{(\w+)\}", text):
            if name not in self.known:
                self._find_out(name)
        return text.format(**self.known) if "{" in text else text

    def _find_out(self, name: str) -> None:
        if name in STARTING:
            self.job(name)
        elif name == "open":
            self.known[name] = self.start(STARTING["video"]).id
        elif name == "session":
            self.known[name] = self.answer(PAYING[0]).json()["session_id"]
        elif name == "voice":
            self.known[name] = self.answer(VOICES[1]).json()["voices"][0]["voice_id"]
        elif name == "preview":
            self.known[name] = self.answer(VOICES[2]).json()["preview_url"]

    def answer(self, call: Call) -> httpx.Response:
        """The answer to a call, which is made once."""
        for name, start in STARTING.items():
            if start is call:
                self.job(name)
        if call.route not in self.answers:
            self.answers[call.route] = self.send(call)
        return self.answers[call.route]

    def send(self, call: Call) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(call.login)}"} if call.login else {}
        fields = {name: self.filled(value) if isinstance(value, str) else value for name, value in call.fields.items()}
        if call.sends == "json":
            headers["Accept"] = "application/json"
            return self.client.request(call.method, self.filled(call.address), json=fields, headers=headers)
        if call.sends == "form":
            parts: dict[str, Any] = {name: (None, str(value)) for name, value in fields.items()}
            if call.file:
                file = self.files[call.file]
                parts = {"file": (file.name, file.read_bytes(), "application/octet-stream"), **parts}
            return self.client.post(self.filled(call.address), files=parts, headers=headers)
        return self.client.request(call.method, self.filled(call.address), headers=headers)

    def get(self, path: str, login: str = "user") -> httpx.Response:
        return self.client.get(path, headers={"Authorization": f"Bearer {self.token(login)}"})

    def credits(self) -> int:
        return int(self.get("/api/user/profile").json()["user"]["credits"])

    def job(self, name: str) -> Followed:
        """A job of the table, started and followed to its end."""
        if name not in self.jobs:
            self.jobs[name] = self.start(STARTING[name], name)
            self.follow(self.jobs[name])
        return self.jobs[name]

    def start(self, call: Call, name: str = "") -> Followed:
        before = self.credits()
        answer = self.send(call)
        assert answer.status_code == 200, answer.text
        id_ = str(answer.json()["job_id"])
        if name:
            self.answers[call.route] = answer
            self.known[name] = id_
        return Followed(id_, before, self.credits())

    def follow(self, job: Followed) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not job.seen or job.last["status"] not in ENDED:
            assert time.monotonic() < deadline, job.last
            view = self.get(f"/api/translate/jobs/{job.id}/status").json()
            if not job.seen or json.dumps(view) != json.dumps(job.last):
                job.seen.append(view)
            time.sleep(POLL_S)
