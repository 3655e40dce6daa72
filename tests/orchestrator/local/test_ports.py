"""Free ports: below those of connections, each only once, and none that somebody listens on."""

import os
import socket

import pytest

from orchestrator.local import ports


def test_a_port_is_handed_out_once_until_all_were() -> None:
    own = ports.Ports(27_900, 20)
    first = [own.free() for _ in range(20)]
    assert len(set(first)) == 20
    assert own.free() == first[0]


def test_a_port_that_is_listened_on_is_passed_over() -> None:
    own = ports.Ports(27_930, 2)
    taken = own.free()
    with socket.create_server(("127.0.0.1", taken)):
        other = own.free()
        assert other != taken
        assert own.free() == other
        with socket.create_server(("127.0.0.1", other)), pytest.raises(RuntimeError, match="no port of 27930 to 27931"):
            own.free()


def test_no_connection_is_given_one_of_them_and_no_other_process_of_these_tests() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    first, count = ports.RANGE if worker is None else (20_000 + 1_000 * (int(worker.removeprefix("gw")) % 8), 1_000)
    handed_out = ports.free_ports(5)
    assert all(first <= port < first + count for port in handed_out)
    assert first + count <= 32_768
