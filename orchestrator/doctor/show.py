"""The doctor's findings on a terminal, or as JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console

from orchestrator.doctor.examination import examine, patient_of
from orchestrator.doctor.findings import Level
from orchestrator.settings import Settings

MARKS: Mapping[Level, str] = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}


async def show(settings: Settings, console: Console, *, as_json: bool, only: Sequence[str]) -> bool:
    """Examine, and print; whether there was an error. Raises NoSuchCheckError."""
    count: Counter[Level] = Counter()
    told = []
    async for checked in examine(await patient_of(settings), only):
        count.update(finding.level for finding in checked.findings)
        told.append({"check": checked.check, "findings": [asdict(finding) for finding in checked.findings]})
        for finding in () if as_json else checked.findings:
            line = f"{MARKS[finding.level]}  {checked.check:9} {finding.text}"
            console.print(line, markup=False, soft_wrap=True, highlight=False)
            if finding.level != "ok" and finding.fix:
                console.print(f"{'':20}→ {finding.fix}", markup=False, soft_wrap=True, highlight=False)
    if as_json:
        console.print(json.dumps(told, indent=1, ensure_ascii=False), markup=False, soft_wrap=True, highlight=False)
    else:
        console.print(f"{count['error']} errors, {count['warning']} warnings.")
    return bool(count["error"])
