"""Erlang's formula, which a simulator must agree with where it applies. Pure."""

from math import factorial


def erlang_c_wait(rate: float, service_s: float, servers: int) -> float:
    """Mean seconds that a request waits in an M/M/c queue (Erlang C): Poisson arrivals, exponential service, one queue.

    ValueError when the servers cannot keep up.
    """
    load = rate * service_s
    if load >= servers:
        raise ValueError(f"{servers} servers cannot carry a load of {load:g}")
    all_busy = load**servers / factorial(servers) * servers / (servers - load)
    waits = all_busy / (sum(load**each / factorial(each) for each in range(servers)) + all_busy)
    return waits * service_s / (servers - load)
