"""`octavia up --polar-standin`: what API and worker are told, that it sells, and that production refuses it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from orchestrator.billing.check import check
from orchestrator.billing.offers import Package
from orchestrator.billing.polar import Polar
from orchestrator.local import polar_standin
from orchestrator.local.polar_standin import LocalPolar, NoStandInError, NotInProductionError
from orchestrator.local.processes import Child
from orchestrator.local.up import _models
from orchestrator.settings import Settings
from tests.fixtures_polar import PACK

pytestmark = pytest.mark.anyio


async def until_it_answers(child: Child, url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for _ in range(1_200):
            assert child.process is not None
            assert child.process.returncode is None
            try:
                await client.get(f"{url}/_standin/")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the stand-in did not come up")


def from_environment(monkeypatch: pytest.MonkeyPatch, polar: LocalPolar) -> Settings:
    for name, value in polar.environment().items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_what_api_and_worker_are_told_fits_the_standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = Package(id="own", name="A: b", credits=5, price_cents=123, currency="eur", product_id=PACK)
    polar = LocalPolar.prepare(Settings(data_dir=tmp_path, packages=(named,)))
    settings = from_environment(monkeypatch, polar)
    assert settings.billing
    assert settings.packages == (named,)
    assert [plan.id for plan in settings.plans] == ["monthly_credits"]
    child = polar.child("http://127.0.0.1:9", tmp_path)
    await child.start()
    try:
        await until_it_answers(child, polar.url)
        async with Polar.from_settings(settings) as client:
            assert [each.text for each in await check(settings, client) if each.level != "note"] == []
    finally:
        await child.stop()
    assert json.loads((tmp_path / "polar-standin.json").read_text())["deliveries"]["key"]["secret"] == polar.secret


def test_products_keep_their_ids_and_secrets_do_not_show(tmp_path: Path) -> None:
    first, second = (LocalPolar.prepare(Settings(data_dir=tmp_path)) for _ in range(2))
    assert first.packages == second.packages
    assert first.plans == second.plans
    assert len({offer.product_id for offer in (*first.packages, *first.plans)}) == 4
    assert first.token != second.token
    for secret in (first.token, first.secret):
        assert secret not in repr(first)
        assert secret not in " ".join(first.child("http://127.0.0.1:9", None).command)


def test_production_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(NotInProductionError, match="development"):
        LocalPolar.prepare(Settings(data_dir=tmp_path, mode="production"))


def test_without_the_repository_it_says_where_the_standin_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polar_standin, "REPOSITORY", tmp_path)
    with pytest.raises(NoStandInError, match="from a checkout"):
        LocalPolar.prepare(Settings(data_dir=tmp_path))


def test_the_models_are_told_of_billing_by_the_user_and_not_by_the_standin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {"OCTAVIA_SERVE_GRPC_PORT": "1"}
    environment |= LocalPolar.prepare(Settings(data_dir=tmp_path)).environment()
    child = _models(environment, None)

    def given() -> dict[str, Any]:
        return {**child.inherited(), **child.environment()}

    for name in [name for name in os.environ if name.startswith("OCTAVIA_")]:  # as a terminal is that set none
        monkeypatch.delenv(name)
    assert not [name for name in given() if name.startswith("OCTAVIA_") and not name.startswith("OCTAVIA_SERVE_")]
    monkeypatch.setenv("OCTAVIA_BILLING", "true")
    assert given()["OCTAVIA_BILLING"] == "true"


@pytest.mark.parametrize("arguments", [["up", "--polar-standin"], ["up"]])
def test_the_command_refuses_in_production_before_anything_starts(arguments: list[str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTAVIA_")}
    environment |= {"OCTAVIA_MODE": "production", "OCTAVIA_DATA_DIR": str(tmp_path)}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    ended = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert ("--polar-standin is for development" if len(arguments) == 2 else "OCTAVIA_JWT_SECRET") in ended.stderr
    assert list(tmp_path.iterdir()) == []
