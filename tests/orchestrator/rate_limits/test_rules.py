"""The rules as such: what a login is allowed, when to come back, what an operator may change."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rate_limits import identities
from orchestrator.rate_limits.rules import (
    RULES,
    Action,
    InvalidRateLimitError,
    Verdict,
    limits_of,
    retry_after_s,
    verdict,
)


@pytest.mark.parametrize(
    ("account_over", "overall_over", "known", "expected"),
    [
        (False, False, False, Verdict.ADMIT),
        (True, False, False, Verdict.SLOW),
        (False, True, False, Verdict.REFUSE),
        (True, True, False, Verdict.REFUSE),
        *((account, overall, True, Verdict.ADMIT) for account, overall in itertools.product((False, True), repeat=2)),
    ],
)
def test_what_strangers_use_up_never_shuts_out_a_known_address_nor_by_the_account_an_unknown_one(
    account_over: bool, overall_over: bool, known: bool, expected: Verdict
) -> None:
    assert verdict(account_over=account_over, overall_over=overall_over, known=known) is expected


def _free(limit: int, window_s: int, previous: int, current: int, elapsed_s: float) -> bool:
    """By the definition of the sliding window; beyond its end the current window is the previous one."""
    if elapsed_s >= 2 * window_s:
        return True
    if elapsed_s >= window_s:
        previous, current, elapsed_s = current, 0, elapsed_s - window_s
    return previous * (window_s - elapsed_s) / window_s + current < limit - 1e-9


@given(st.data())
def test_after_the_seconds_told_there_is_room_and_a_second_and_a_half_before_there_is_none(data: st.DataObject) -> None:
    limit = data.draw(st.integers(1, 300))
    window_s = data.draw(st.sampled_from([10, 60, 900, 3600]))
    previous, current = data.draw(st.integers(0, limit)), data.draw(st.integers(0, limit))
    elapsed_s = data.draw(st.floats(0, window_s, exclude_max=True))
    wait = retry_after_s(
        limit=limit, window_s=window_s, previous=previous, current=current, remaining_s=window_s - elapsed_s
    )
    assert _free(limit, window_s, previous, current, elapsed_s + wait)
    if not _free(limit, window_s, previous, current, elapsed_s):
        assert wait == 1 or not _free(limit, window_s, previous, current, elapsed_s + wait - 1.5)


def test_every_action_has_a_rule_and_every_rule_limits() -> None:
    assert set(RULES) == set(get_args(Action))
    for action, scopes in limits_of({}).items():
        nobodys = action in {"refresh", "verify_email", "reset_password", "demo_login", "look", "download"}
        assert "address" in scopes
        assert ("account" in scopes) != nobodys, "who comes with a token, or for no account, guesses nothing"
        unbounded = action == "default" or (nobodys and action != "demo_login")
        assert ("overall" in scopes) != unbounded


def test_of_several_limits_the_longest_comes_first() -> None:
    assert [limit.get_expiry() for limit in limits_of({})["log_in"]["address"]] == [3600, 60]


def test_an_operator_changes_a_limit_by_its_name() -> None:
    limits = limits_of({"log_in.address": "7/second", "default.overall": "1 per 2 hours"})
    assert [str(limit) for limit in limits["log_in"]["address"]] == ["7 per 1 second"]
    assert [limit.get_expiry() for limit in limits["default"]["overall"]] == [7200]
    assert limits["log_in"]["account"] == limits_of({})["log_in"]["account"]


@pytest.mark.parametrize(
    ("name", "limit"), [("login.address", "1/second"), ("log_in.doing", "1/second"), ("log_in.address", "often")]
)
def test_a_limit_that_is_none_is_refused_with_what_there_is(name: str, limit: str) -> None:
    with pytest.raises(InvalidRateLimitError, match=r"log_in\.address") as error:
        limits_of({name: limit})
    assert f'"{name}": "{limit}"' in error.value.message


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("none", "none"),
    ],
)
def test_ipv6_clients_are_counted_by_their_network(address: str, counted_as: str) -> None:
    assert identities.caller(address) == counted_as


def test_an_account_is_counted_as_one_however_its_address_is_written() -> None:
    ways = [" elinor@example.org", "ELINOR@Example.ORG ", "ｅlinor@example.org"]
    assert len({identities.account_hash(way) for way in ways}) == 1
    assert identities.account_hash("elinor+1@example.org") != identities.account_hash(ways[0])
    assert len(identities.account_hash("\0\ud800" * 300)) == 64
