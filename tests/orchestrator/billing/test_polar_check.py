"""The start-up check: what is wrong with the set-up of Polar is said in words that help."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from orchestrator.app import create_app
from orchestrator.billing import wire
from orchestrator.billing.check import NOT_CHECKED, READ, Finding, check, log_findings
from orchestrator.billing.offers import Package, Plan
from orchestrator.billing.polar import Polar
from orchestrator.settings import Settings
from tests.fixtures_control_plane import QueueStandIn
from tests.fixtures_polar import PACK, PLAN
from tests.standins.polar import Fault, PolarStandIn

pytestmark = pytest.mark.anyio

STARTER = Package(id="starter_credits", name="Starter", credits=100, price_cents=999, product_id=PACK)
MONTHLY = Plan(id="monthly", name="Monthly", credits=300, price_cents=1900, product_id=PLAN)


@pytest.fixture
def selling(polar_settings: Settings) -> Settings:
    """Settings that fit the stand-in."""
    good = {"packages": (STARTER,), "plans": (MONTHLY,), "polar_webhook_secrets": [SecretStr("whsec_secret")]}
    return polar_settings.model_copy(update=good)


async def findings(settings: Settings, **changes: object) -> list[Finding]:
    settings = settings.model_copy(update=changes)
    async with Polar.from_settings(settings, pause_s=0.005, patience_s=1) as polar:
        return await check(settings, polar)


def serious(found: list[Finding]) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in found if each.level != "note"]


async def test_a_good_set_up_has_nothing_but_notes(selling: Settings) -> None:
    found = await findings(selling)
    assert serious(found) == []
    [unchecked] = [each.text for each in found if each.text.startswith("Not checked")]
    assert all(scope in unchecked for scope in NOT_CHECKED)


@pytest.mark.parametrize("collection", [*READ, "organizations"])
async def test_each_missing_scope_is_named_once(
    selling: Settings, polar_standin: PolarStandIn, collection: str
) -> None:
    polar_standin.scopes -= {f"{collection}:read", f"{collection}:write"}
    errors = [text for level, text in serious(await findings(selling)) if level == "error"]
    assert len(errors) == 1
    assert f"lacks the scope {collection}:read." in errors[0]


async def test_the_check_only_reads(selling: Settings, polar_standin: PolarStandIn) -> None:
    await findings(selling)
    assert {method for method, _, _ in polar_standin.requests} == {"GET"}


@pytest.mark.parametrize(("server", "other"), [("sandbox", "production"), ("production", "sandbox")])
async def test_a_wrong_token_may_be_one_of_the_other_server(selling: Settings, server: str, other: str) -> None:
    [(level, text)] = serious(
        await findings(selling, polar_access_token=SecretStr("polar_oat_wrong"), polar_server=server)
    )
    assert level == "error"
    assert f"OCTAVIA_POLAR_SERVER={other}" in text
    assert "polar_oat_wrong" not in text


async def test_a_polar_that_is_away_is_said(selling: Settings, polar_standin: PolarStandIn) -> None:
    polar_standin.faults.add(Fault(status=503, times=99))
    [(level, text)] = serious(await findings(selling))
    assert level == "error"
    assert "503" in text


@pytest.mark.parametrize(
    ("change", "level", "said"),
    [
        ({"product_id": None}, "warning", "cannot be bought: it has no product_id in OCTAVIA_PACKAGES"),
        ({"product_id": uuid4()}, "error", "there is no product"),
        ({"product_id": PLAN}, "error", "its product is a subscription"),
        ({"price_cents": 1099}, "warning", "our pages say 10.99 USD and Polar charges 9.99 USD"),
        ({"currency": "eur"}, "warning", "no fixed price in EUR"),
    ],
)
async def test_a_package_that_does_not_fit_its_product(
    selling: Settings, change: dict[str, object], level: str, said: str
) -> None:
    found = serious(await findings(selling, packages=(STARTER.model_copy(update=change),), plans=()))
    assert found[0][0] == level
    assert said in found[0][1]
    assert "starter_credits" in found[0][1]


async def test_an_archived_product_is_an_error(selling: Settings, polar_standin: PolarStandIn) -> None:
    polar_standin.market.get("products", str(PACK))["is_archived"] = True
    [(level, text)] = serious(await findings(selling))
    assert (level, "archived" in text) == ("error", True)


async def test_a_plan_needs_a_recurring_product_and_a_monthly_one_is_expected(
    selling: Settings, polar_standin: PolarStandIn
) -> None:
    once = MONTHLY.model_copy(update={"product_id": PACK, "price_cents": 999})
    [(level, text)] = serious(await findings(selling, packages=(), plans=(once,)))
    assert (level, "sold once" in text) == ("error", True)
    polar_standin.add_product("Yearly", 1900, id_=str(PLAN), interval="year")
    [(level, text)] = serious(await findings(selling))
    assert (level, "every year, not every month" in text) == ("warning", True)


@pytest.mark.parametrize("proration", ["prorate", "invoice", "auto", "reset"])
async def test_changes_of_plan_that_are_settled_at_once_are_an_error_that_says_what_to_change(
    selling: Settings, polar_standin: PolarStandIn, proration: str
) -> None:
    polar_standin.settle_changes_of_plan(proration)
    [(level, text)] = serious(await findings(selling))
    assert level == "error"
    assert f"settled by '{proration}'" in text
    assert "subscription_settings.proration_behavior = next_period" in text
    assert "customer_portal_settings.subscription.update_plan = false" in text


async def test_the_settings_of_a_new_organization_are_not_those_we_need(selling: Settings) -> None:
    async with PolarStandIn(token="polar_oat_new") as fresh:
        fresh.add_product("Starter", 999, id_=str(PACK))
        fresh.add_product("Plan", 1900, id_=str(PLAN), interval="month")
        own = {"polar_url": fresh.url, "polar_access_token": SecretStr("polar_oat_new")}
        [(level, text)] = serious(await findings(selling, **own))
    assert (level, "settled by 'prorate'" in text) == ("error", True)


async def test_where_customers_cannot_change_plans_or_none_is_sold_the_proration_does_not_matter(
    selling: Settings, polar_standin: PolarStandIn
) -> None:
    polar_standin.settle_changes_of_plan("prorate")
    assert serious(await findings(selling, plans=())) == []
    portal = polar_standin.market.organization["customer_portal_settings"]["subscription"]
    portal["update_plan"] = False
    assert serious(await findings(selling)) == []


@pytest.mark.parametrize("said", [{}, {"subscription_settings": {}}, {"proration_behavior": "invoice"}])
def test_an_organization_that_says_nothing_of_it_is_taken_for_one_that_allows_changes(said: dict[str, object]) -> None:
    known = {"id": str(uuid4()), "created_at": "2026-10-01T10:00:00Z", "name": "Ada", **said}
    organization = wire.Organization.model_validate(known)
    assert organization.customers_change_plans
    assert organization.proration == said.get("proration_behavior", "unknown")
    older = wire.Organization.model_validate({**known, "subscription_settings": {"allow_customer_updates": False}})
    assert not older.customers_change_plans


async def test_two_offers_of_one_product_cannot_be_told_apart(selling: Settings) -> None:
    twin = STARTER.model_copy(update={"id": "twin"})
    [(level, text)] = serious(await findings(selling, packages=(STARTER, twin)))
    assert (level, "starter_credits and twin" in text) == ("error", True)


async def test_settings_without_a_webhook_secret_or_billing_are_said(selling: Settings) -> None:
    found = serious(await findings(selling, polar_webhook_secrets=[], billing=False))
    assert [level for level, _ in found] == ["error", "warning"]
    assert "OCTAVIA_POLAR_WEBHOOK_SECRETS" in found[0][1]
    assert "OCTAVIA_BILLING=true" in found[1][1]


async def test_findings_are_logged_by_their_weight(selling: Settings) -> None:
    settings = selling.model_copy(update={"packages": (STARTER.model_copy(update={"product_id": uuid4()}),)})
    async with Polar.from_settings(settings) as polar:
        with capture_logs() as logs:
            await log_findings(settings, polar)
    assert logs[0]["log_level"] == "error"
    assert "there is no product" in logs[0]["finding"]
    assert not any(each["event"] == "Polar is set up" for each in logs)


async def test_the_api_starts_at_once_and_checks_behind(
    selling: Settings, app_settings: Settings, queue: QueueStandIn, polar_standin: PolarStandIn
) -> None:
    polar_standin.faults.add(Fault("GET", "/v1/products/", hang_s=2))
    fields = {name: getattr(selling, name) for name in selling.model_fields_set | {"packages", "plans"}}
    settings = app_settings.model_copy(update=fields)
    app = create_app(settings, queue.open)
    with capture_logs() as logs:
        async with app.router.lifespan_context(app):
            assert not any(each["event"] == "Polar is set up" for each in logs)
            deadline = asyncio.get_running_loop().time() + 60
            while not any(each["event"] == "Polar is set up" for each in logs):
                assert asyncio.get_running_loop().time() < deadline, logs
                await asyncio.sleep(0.02)


async def test_the_api_starts_and_ends_where_polar_is_away(
    selling: Settings, app_settings: Settings, queue: QueueStandIn
) -> None:
    settings = app_settings.model_copy(
        update={
            "billing": True,
            "polar_url": "http://127.0.0.1:9",
            "polar_access_token": selling.polar_access_token,
            "polar_webhook_secrets": selling.polar_webhook_secrets,
        }
    )
    app = create_app(settings, queue.open)
    async with app.router.lifespan_context(app):
        pass


async def command(settings: Settings, **changes: str) -> tuple[int, str, str]:
    """`octavia billing check` in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTAVIA_")}
    assert settings.polar_access_token is not None
    environment |= {
        "OCTAVIA_BILLING": "true",
        "OCTAVIA_POLAR_URL": str(settings.polar_url),
        "OCTAVIA_POLAR_ACCESS_TOKEN": settings.polar_access_token.get_secret_value(),
        "OCTAVIA_POLAR_WEBHOOK_SECRETS": '["whsec_secret"]',
        "OCTAVIA_PACKAGES": f"[{STARTER.model_dump_json()}]",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        **changes,
    }
    arguments = [sys.executable, "-m", "orchestrator.cli", "billing", "check"]
    process = await asyncio.create_subprocess_exec(
        *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), errors.decode()


async def test_the_command_says_what_it_finds_and_ends_accordingly(selling: Settings) -> None:
    code, output, _ = await command(selling)
    assert (code, output.splitlines()[-1]) == (0, "Credits can be sold.")
    lost = STARTER.model_copy(update={"product_id": uuid4()})
    code, output, errors = await command(selling, OCTAVIA_PACKAGES=f"[{lost.model_dump_json()}]")
    assert code == 1
    assert output.splitlines()[0].startswith("error: starter_credits: there is no product")
    assert "1 of these are errors" in errors
    code, _, errors = await command(selling, OCTAVIA_POLAR_ACCESS_TOKEN="polar_oat_wrong")
    assert code == 1
    assert "Traceback" not in errors
    assert "polar_oat" not in errors
