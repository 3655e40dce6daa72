"""Faults of the API on demand."""

import re
from dataclasses import dataclass, field

from tests.standins.polar.shapes import Json


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of that method whose path matches.

    `status` is answered with `body`, where given, and `retry_after`. `carried_out`: the request is carried out first.
    `hang_s`: it is answered so late, or not at all where the client gives up before. `wait_s`: it is looked at so late.
    """

    method: str = ".*"
    path: str = ".*"
    status: int | None = None
    times: int = 1
    retry_after: str | None = None
    body: Json | str | None = None
    carried_out: bool = False
    hang_s: float = 0.0
    wait_s: float = 0.0

    def matches(self, method: str, path: str) -> bool:
        return self.times > 0 and bool(re.fullmatch(self.method, method) and re.fullmatch(self.path, path))


@dataclass
class Faults:
    """Those to come, the earliest first."""

    to_come: list[Fault] = field(default_factory=list)

    def add(self, fault: Fault) -> Fault:
        self.to_come.append(fault)
        return fault

    def timeout_after_success(self, method: str, path: str, times: int = 1) -> Fault:
        """The request is carried out and never answered."""
        return self.add(Fault(method, path, times=times, carried_out=True, hang_s=3600))

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self.to_come:
            if fault.matches(method, path):
                fault.times -= 1
                return fault
        return None

    def clear(self) -> None:
        self.to_come.clear()
