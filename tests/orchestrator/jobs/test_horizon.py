"""Reading a table whose rows appear out of order: each once, and a position behind which nothing appears any more."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs import horizon
from orchestrator.jobs.horizon import Horizon


class Table:
    """Transactions that begin, take a number, and commit or roll back whenever they like, as PostgreSQL has them."""

    def __init__(self) -> None:
        self.next_transaction = 1
        self.next_number = 1
        self.at_work: dict[int, int | None] = {}
        self.visible: set[int] = set()

    def begin(self) -> int:
        transaction, self.next_transaction = self.next_transaction, self.next_transaction + 1
        self.at_work[transaction] = None
        return transaction

    def take(self, transaction: int) -> None:
        if self.at_work[transaction] is None:
            self.at_work[transaction], self.next_number = self.next_number, self.next_number + 1

    def end(self, transaction: int, *, commits: bool) -> None:
        number = self.at_work.pop(transaction)
        if commits and number is not None:
            self.visible.add(number)

    def read_into(self, reader: Horizon, page: int) -> list[int]:
        rows = sorted(number for number in self.visible if number > reader.floor and number not in reader.seen)
        oldest = min(self.at_work, default=self.next_transaction)
        reader.read(rows[:page], oldest, self.next_transaction, whole=len(rows) < page)
        return rows[:page]


ACTIONS = st.lists(st.sampled_from(["begin", "take", "commit", "roll back", "read"]), max_size=120)


@given(ACTIONS, st.integers(0, 2**32), st.sampled_from([1, 2, 1000]))
def test_every_row_is_read_once_and_none_appears_below_the_floor(actions: list[str], seed: int, page: int) -> None:
    table, reader, chance = Table(), Horizon(()), random.Random(seed)
    told: list[int] = []
    for action in [*actions, *["read"] * (len(actions) + 1)]:
        if action == "begin":
            table.begin()
        elif action == "read":
            floor = reader.floor
            told += table.read_into(reader, page)
            assert reader.floor >= floor
        elif table.at_work:
            transaction = chance.choice(sorted(table.at_work))
            table.take(transaction) if action == "take" else table.end(transaction, commits=action == "commit")
        settled = {number for number in told if number <= reader.floor}
        to_come = {number for number in table.at_work.values() if number is not None and number <= reader.floor}
        assert not to_come, "a row below the floor may still appear"
        assert settled >= {number for number in table.visible if number <= reader.floor}
    assert sorted(told) == sorted(table.visible)
    assert len(told) == len(set(told))


def test_with_nobody_at_work_everything_is_settled_at_once() -> None:
    reader = Horizon([1, 2])
    reader.read([5, 7], 40, 40)
    assert (reader.floor, reader.seen) == (7, [])


def test_a_gap_is_settled_when_all_who_had_begun_are_over() -> None:
    reader = Horizon([])
    reader.read([1, 2, 4], 10, 12)
    assert reader.floor == 0, "10 or 11 may be writing 3"
    reader.read([5], 11, 15)
    assert reader.floor == 0
    reader.read([3, 6], 13, 16)
    assert (reader.floor, reader.seen) == (4, [5, 6])
    reader.read([], 16, 20)
    assert reader.floor == 6


def test_a_transaction_that_lasts_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "FURTHEST", 100)
    reader = Horizon(range(1, 50))
    for number in range(50, 1000):
        reader.read([number], 3, 1000 + number)
    assert reader.floor == 899
    assert len(reader.seen) == 100


def test_what_is_there_at_the_start_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "FURTHEST", 10)
    reader = Horizon([91, 95, 100])
    assert (reader.floor, reader.seen) == (90, [91, 95, 100])
