"""The alert rules: promtool finds nothing wrong, each is tried out and has its entry in the runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures_monitoring import MONITORING, alerts

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
STEPS = ("What it means", "What to do")


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_wrong_with_rules_and_example() -> None:
    for arguments in (("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")):
        checked = promtool(*arguments)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else() -> None:
    tried = promtool("test", "rules", "tests/firing.yml", "tests/quiet.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_a_rule_that_looks_at_something_else_is_caught(tmp_path: Path) -> None:
    """Else the test before could pass without trying anything."""
    (tmp_path / "tests").mkdir()
    broken = (MONITORING / "alerts.yml").read_text().replace("octavia_queue_age_seconds) > 900", "octavia_jobs) > 900")
    (tmp_path / "alerts.yml").write_text(broken)
    (tmp_path / "tests" / "firing.yml").write_text((MONITORING / "tests" / "firing.yml").read_text())
    tried = subprocess.run(
        ["promtool", "test", "rules", "tests/firing.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tried.returncode != 0
    assert "QueueTooOld" in tried.stdout + tried.stderr


def tried_in(file: str) -> set[str]:
    tests: list[dict[str, Any]] = yaml.safe_load((MONITORING / "tests" / file).read_text())["tests"]
    return {each["alertname"] for test in tests for each in test["alert_rule_test"]}


def test_no_alert_is_untried() -> None:
    assert tried_in("firing.yml") == tried_in("quiet.yml") == set(alerts())


@pytest.mark.parametrize("name", alerts())
def test_every_alert_says_what_to_do_in_the_runbook(name: str) -> None:
    rule = alerts()[name]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")
    found = re.search(rf"^### {name}\n(.+?)(?=^##|\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"docs/runbook.md has no entry ### {name}"
    for step in STEPS:
        assert step in found[1]


def test_the_runbook_has_no_entry_of_an_alert_that_is_gone() -> None:
    section = RUNBOOK.read_text().partition("## Alerts")[2].partition("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == set(alerts())
