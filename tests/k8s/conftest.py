"""Rendered overlays."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from scripts.kubernetes.check import rendered
from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.render import NoKubectlError, find_kubectl, render


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A kubectl that renders; without one every test of manifests is skipped, and says so."""
    try:
        return find_kubectl()
    except NoKubectlError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def overlay(kubectl: str) -> Callable[[str], Deployed]:
    """An overlay by name, rendered once."""
    return cache(lambda name: rendered(name, kubectl))


@pytest.fixture(scope="session")
def ours(kubectl: str) -> Deployed:
    """An operator's overlay with the components that are optional."""
    return Deployed("ours", render(Path(__file__).parent / "ours", kubectl))
