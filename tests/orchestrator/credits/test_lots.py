"""The choice of lots, and their terms."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from orchestrator.credits.lots import FOR_EVER, GRACE, Lot, Term, Use, after, draw, put_back, soonest_first

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def lot(number: int, remaining: int, days: int | None = None) -> Lot:
    term = FOR_EVER if days is None else Term(NOW + timedelta(days=days))
    return Lot(UUID(int=number), UUID(int=number), "order", remaining, term)


def use(number: int, credits: int) -> Use:
    return Use(UUID(int=number), credits)


def test_the_soonest_expiring_goes_first_then_the_older_and_what_never_expires_last() -> None:
    lots = [lot(1, 1), lot(4, 1, 2), lot(2, 1), lot(5, 1, 1), lot(3, 1, 2)]
    assert [each.id.int for each in soonest_first(lots)] == [5, 3, 4, 1, 2]


@pytest.mark.parametrize(
    ("credits", "uses"),
    [
        (0, []),
        (3, [use(1, 3)]),
        (5, [use(1, 5)]),
        (6, [use(1, 5), use(3, 1)]),
        (100, [use(1, 5), use(3, 4)]),
    ],
)
def test_credits_are_drawn_in_the_order_given_from_what_is_there(credits: int, uses: list[Use]) -> None:
    assert draw([lot(1, 5), lot(2, 0), lot(3, 4)], credits) == uses


@pytest.mark.parametrize(
    ("kept", "uses"),
    [
        (0, [use(2, -4), use(1, -3)]),
        (1, [use(2, -3), use(1, -3)]),
        (4, [use(1, -3)]),
        (6, [use(1, -1)]),
        (7, []),
        (100, []),
    ],
)
def test_what_is_kept_of_credits_are_the_soonest_expiring(kept: int, uses: list[Use]) -> None:
    assert put_back([(lot(1, 0), 3), (lot(2, 9, days=1), 4)], kept) == uses


def test_lots_that_are_used_up_are_left_out() -> None:
    left = after([lot(1, 5), lot(2, 5), lot(3, 5)], [use(1, 5), use(2, 2), use(3, -1)])
    assert [(each.id.int, each.remaining) for each in left] == [(2, 3), (3, 6)]


def test_a_term_is_over_at_its_end() -> None:
    assert not Term(NOW + MOMENT).is_over(NOW)
    assert Term(NOW).is_over(NOW)
    assert not FOR_EVER.is_over(NOW)


@pytest.mark.parametrize(
    ("term", "resumed"),
    [
        (FOR_EVER, FOR_EVER),
        (Term(NOW + MOMENT), Term(NOW + MOMENT)),
        (Term(NOW), Term(NOW + GRACE, extended=True)),
        (Term(NOW - GRACE + MOMENT), Term(NOW + MOMENT, extended=True)),
        (Term(NOW - GRACE), Term(NOW - GRACE)),
        (Term(NOW + MOMENT, extended=True), Term(NOW + MOMENT, extended=True)),
        (Term(NOW, extended=True), Term(NOW, extended=True)),
    ],
)
def test_credits_that_come_back_get_what_is_left_of_one_grace(term: Term, resumed: Term) -> None:
    assert term.resumed(NOW) == resumed
