"""Production mode: what it refuses, and that API and worker end at once with the whole list."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from orchestrator.billing.offers import Package, Plan
from orchestrator.settings import Settings
from orchestrator.settings_check import insist, missing

PACK = Package(id="starter_credits", name="Starter", credits=100, price_cents=999, product_id=uuid4())
PLAN = Plan(id="monthly", name="Monthly", credits=100, price_cents=999, product_id=uuid4())
FIT: dict[str, Any] = {
    "mode": "production",
    "database_url": "postgresql://octavia@db.example.org/octavia",
    "jwt_secret": SecretStr("s" * 40),
    "smtp_host": "smtp.example.org",
    "mail_from": "Octavia <noreply@example.org>",
    "web_url": "https://octavia.example.org",
    "billing": True,
    "polar_server": "production",
    "polar_access_token": SecretStr("polar_oat_secret"),
    "polar_webhook_secrets": [SecretStr("whsec_secret")],
    "packages": (PACK,),
    "plans": (PLAN,),
}


def settings(**changes: Any) -> Settings:
    return Settings(**{**FIT, **changes})


def test_settings_fit_for_production_are_let_through() -> None:
    assert missing(settings()) == []
    insist(settings())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"database_url": None}, "OCTAVIA_DATABASE_URL"),
        ({"jwt_secret": None}, "OCTAVIA_JWT_SECRET"),
        ({"smtp_host": None}, "OCTAVIA_SMTP_HOST"),
        ({"mail_from": "Octavia <noreply@localhost>"}, "OCTAVIA_MAIL_FROM"),
        ({"mail_from": "noreply@mail.localhost"}, "OCTAVIA_MAIL_FROM"),
        ({"mail_from": "noreply@[127.0.0.1]"}, "OCTAVIA_MAIL_FROM"),
        ({"web_url": "http://octavia.example.org"}, "OCTAVIA_WEB_URL"),
        ({"web_url": "https://localhost:3000"}, "OCTAVIA_WEB_URL"),
        ({"web_url": "https://127.0.0.1"}, "OCTAVIA_WEB_URL"),
        ({"web_url": "https://[::1]:3000"}, "OCTAVIA_WEB_URL"),
        ({"web_url": "https://0.0.0.0"}, "OCTAVIA_WEB_URL"),
        ({"test_credits": True}, "OCTAVIA_TEST_CREDITS"),
        ({"polar_url": "https://polar.example.org"}, "OCTAVIA_POLAR_URL"),
        ({"rate_limits_enabled": False}, "OCTAVIA_RATE_LIMITS_ENABLED"),
        ({"polar_access_token": None}, "OCTAVIA_POLAR_ACCESS_TOKEN"),
        ({"polar_webhook_secrets": []}, "OCTAVIA_POLAR_WEBHOOK_SECRETS"),
        ({"polar_server": "sandbox"}, "OCTAVIA_POLAR_SERVER"),
        ({"packages": (PACK.model_copy(update={"product_id": None}),)}, "OCTAVIA_PACKAGES: starter_credits"),
        ({"plans": (PLAN.model_copy(update={"product_id": None}),)}, "OCTAVIA_PLANS: monthly"),
    ],
)
def test_each_thing_that_is_for_development_is_refused_by_its_name(changes: dict[str, Any], named: str) -> None:
    problems = missing(settings(**changes))
    assert len(problems) == 1
    assert problems[0].startswith(named)
    with pytest.raises(SystemExit) as ending:
        insist(settings(**changes))
    assert ending.value.code == 1


def test_what_billing_needs_is_not_asked_for_without_billing() -> None:
    nothing: dict[str, Any] = {
        "polar_access_token": None,
        "polar_webhook_secrets": [],
        "polar_server": "sandbox",
        "packages": (),
    }
    assert missing(settings(billing=False, **nothing)) == []


def test_no_secret_is_repeated() -> None:
    said = " ".join(missing(settings(web_url="http://localhost", polar_server="sandbox", database_url=None)))
    assert "secret" not in said.replace("OCTAVIA_POLAR_WEBHOOK_SECRETS", "")


def test_development_may_miss_everything() -> None:
    insist(Settings())


@pytest.mark.parametrize("module", ["orchestrator.app", "orchestrator.jobs.worker"])
def test_api_and_worker_refuse_to_start_with_one_line_for_each_thing(module: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OCTAVIA_")}
    environment |= {
        "OCTAVIA_MODE": "production",
        "OCTAVIA_BILLING": "true",
        "OCTAVIA_DATA_DIR": str(tmp_path),
        "OCTAVIA_LOG_FORMAT": "json",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    ended = subprocess.run(
        [sys.executable, "-m", module], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1, ended.stderr
    told = [json.loads(line)["problem"] for line in ended.stderr.splitlines() if line.startswith("{")]
    wished = Settings(mode="production", billing=True)
    assert told == missing(wished)
    assert len(told) == 11
    assert list(tmp_path.iterdir()) == []
