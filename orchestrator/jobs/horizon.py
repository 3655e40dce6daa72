"""Up to where a reader of a growing table has seen everything, although rows appear out of order. Pure.

Numbers are taken before the commit: number 6 may be visible while 5 is still being written. A number is settled when
its row was seen or can never appear. Each read comes with two numbers: `oldest`, the oldest transaction at work in its
snapshot (pg_snapshot_xmin), and `next`, a transaction that began after the snapshot was taken: the reader's own
(pg_current_xact_id). The snapshot's own upper end, pg_snapshot_xmax, would not do: it lies beyond those that are over,
and one with a higher number may be at work. Transactions have begun before they take a row's number, so whatever took a
number below the highest of a read began before that read's `next`: once `oldest` has reached that, all are over.
"""

from collections.abc import Iterable, Sequence

FURTHEST = 5_000
"""A row is taken never to appear after so many with higher numbers: else one transaction of anybody's that lasts would
make a reader remember for as long."""


class Horizon:
    """What one reader has seen of a table. Made with the numbers of the newest rows at its start."""

    def __init__(self, newest: Iterable[int]) -> None:
        """`newest`: the visible rows among the last FURTHEST numbers; they count as seen."""
        self._seen = set(newest)
        self._mark: tuple[int, int] | None = None
        self.floor = max(0, max(self._seen, default=0) - FURTHEST)
        """All numbers up to here are settled."""

    @property
    def seen(self) -> list[int]:
        """The numbers seen above the floor: with it, what the next read leaves out."""
        return sorted(self._seen)

    def read(self, numbers: Sequence[int], oldest: int, next_: int, *, whole: bool = True) -> None:
        """Note a read of what is visible above the floor and was not seen yet, in order; not `whole`: a page of it."""
        self._seen.update(numbers)
        highest = max(self._seen, default=self.floor)
        if not whole:
            self._settle(min(numbers[-1], highest - FURTHEST))
            return
        if oldest >= next_:
            self._settle(highest)
        elif self._mark is None or oldest >= self._mark[1]:
            self._settle(self._mark[0] if self._mark else self.floor)
            self._mark = (highest, next_)
        self._settle(highest - FURTHEST)

    def _settle(self, number: int) -> None:
        if number > self.floor:
            self.floor = number
            self._seen = {each for each in self._seen if each > number}
