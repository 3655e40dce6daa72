"""All checks, one after the other: what they find, each within its time."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.doctor import of_data, of_machine, of_others, of_work
from orchestrator.doctor.findings import Check, Finding, Patient, error
from orchestrator.errors import OctaviaError
from orchestrator.local.state import find_running
from orchestrator.settings import Settings

CHECK_S = 30.0

CHECKS: Mapping[str, Check] = {
    "settings": of_machine.settings,
    "database": of_data.database,
    "clock": of_data.clock,
    "storage": of_data.storage,
    "disk": of_machine.disk,
    "programs": of_machine.programs,
    "fonts": of_machine.fonts,
    "models": of_others.models,
    "workers": of_work.workers,
    "queue": of_work.queue,
    "mail": of_others.mail,
    "webhooks": of_work.webhooks,
    "billing": of_others.billing,
}


class NoSuchCheckError(OctaviaError):
    def __init__(self, name: str) -> None:
        super().__init__("no_such_check", f"There is no check '{name}'. There are: {', '.join(CHECKS)}.", 422)


@dataclass(frozen=True, slots=True)
class Checked:
    """A check's name and what it found."""

    check: str
    findings: Sequence[Finding]


async def patient_of(settings: Settings) -> Patient:
    """The deployment that the settings name, or else the `octavia up` that runs on this machine."""
    running = None
    if settings.database_url is None or "model_address" not in settings.model_fields_set:
        running = await asyncio.to_thread(find_running, settings)
    models = settings.model_address
    if running is not None and "model_address" not in settings.model_fields_set:
        models = running.model_address
    return Patient(settings, settings.database_url or (running.database_url if running else None), models)


async def examine(patient: Patient, only: Sequence[str] = ()) -> AsyncIterator[Checked]:
    """The checks, or `only` these, in order. Raises NoSuchCheckError."""
    for name in only:
        if name not in CHECKS:
            raise NoSuchCheckError(name)
    for name, check in CHECKS.items():
        if not only or name in only:
            yield Checked(name, await _within_time(check, patient))


async def _within_time(check: Check, patient: Patient) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(CHECK_S):
            return await check(patient)
    except TimeoutError:
        return error(f"The check did not end within {CHECK_S:.0f} s.", "What it asks does not answer. Look there.")
    except OctaviaError as failed:
        return error(failed.message, "")
