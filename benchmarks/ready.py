"""Waiting for an API process to be ready."""

import time

import httpx

START_S = 120.0


def until_ready(host: str) -> None:
    """Until the API at the address answers that it serves. Raises TimeoutError."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{host}/readyz", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{host} was not ready after {START_S:.0f} s")
