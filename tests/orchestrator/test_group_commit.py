"""Committing together what comes at the same time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg
import pytest
import sqlalchemy as sa

from orchestrator.group_commit import MOST, GroupCommit

pytestmark = pytest.mark.anyio


@dataclass
class Ledger:
    """Takes the place of the database: keeps groups, slowly, and refuses some numbers."""

    groups: list[list[int]] = field(default_factory=list)
    tried: list[list[int]] = field(default_factory=list)
    refused: dict[int, Exception] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def commit(self, items: Sequence[int]) -> list[int]:
        self.tried.append(list(items))
        await self.gate.wait()
        for item in items:
            if item in self.refused:
                raise self.refused[item]
        self.groups.append(list(items))
        return [item * 10 for item in items]


async def several(commit: GroupCommit[int, int], items: Sequence[int]) -> list[asyncio.Task[int]]:
    """Calls under way for these items."""

    async def call(item: int) -> int:
        return await commit(item)

    calls = [asyncio.create_task(call(item)) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return calls


async def test_one_alone_does_not_wait_for_company() -> None:
    ledger = Ledger()
    ledger.gate.set()
    commit = GroupCommit(ledger.commit)
    assert [await commit(1), await commit(2)] == [10, 20]
    assert ledger.groups == [[1], [2]]


async def test_what_comes_during_a_commit_is_the_next_group_and_none_is_answered_before_its_own() -> None:
    ledger = Ledger()
    commit = GroupCommit(ledger.commit)
    first = await several(commit, [1])
    rest = await several(commit, [2, 3, 4])
    assert ledger.tried == [[1]]
    assert not any(each.done() for each in first + rest)
    ledger.gate.set()
    assert await asyncio.gather(*first, *rest) == [10, 20, 30, 40]
    assert ledger.groups == [[1], [2, 3, 4]]


async def test_a_group_has_a_limit() -> None:
    ledger = Ledger()
    ledger.gate.set()
    commit = GroupCommit(ledger.commit)
    numbers = list(range(2 * MOST + 5))
    assert await asyncio.gather(*await several(commit, numbers)) == [10 * number for number in numbers]
    assert max(len(group) for group in ledger.groups) <= MOST


async def test_one_that_fails_fails_alone() -> None:
    ledger = Ledger(refused={3: ValueError("three")})
    commit = GroupCommit(ledger.commit)
    calls = await several(commit, [1]) + await several(commit, [2, 3, 4])
    ledger.gate.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [repr(each) for each in ended] == ["10", "20", "ValueError('three')", "40"]
    assert ledger.groups == [[1], [2], [4]]
    assert await commit(5) == 50


async def test_while_the_database_is_away_all_fail_at_once_and_later_ones_do_not() -> None:
    away = sa.exc.OperationalError("insert", {}, psycopg.OperationalError("away"))
    ledger = Ledger(refused={2: away})
    commit = GroupCommit(ledger.commit)
    calls = await several(commit, [1]) + await several(commit, [2, 3, 4])
    ledger.gate.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert ended == [10, away, away, away]
    assert ledger.tried == [[1], [2, 3, 4]]
    assert await commit(5) == 50


async def test_who_gives_up_waiting_keeps_nobody_else_from_an_answer() -> None:
    ledger = Ledger()
    commit = GroupCommit(ledger.commit)
    calls = await several(commit, [1, 2, 3])
    calls[1].cancel()
    ledger.gate.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert (ended[0], ended[2]) == (10, 30)
    assert isinstance(ended[1], asyncio.CancelledError)


@pytest.mark.parametrize("alone", [True, False], ids=["one by one", "together"])
async def test_at_the_end_of_the_process_nobody_waits_for_ever(alone: bool) -> None:
    async def commit(items: Sequence[int]) -> list[int]:
        if alone and len(items) > 1:
            raise ValueError(items)
        await asyncio.Event().wait()
        return list(items)

    grouped = GroupCommit(commit)
    calls = await several(grouped, [1, 2, 3]) + await several(grouped, [4])
    (committing,) = [task for task in asyncio.all_tasks() if task.get_name() == "group commit"]
    committing.cancel()
    ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)
