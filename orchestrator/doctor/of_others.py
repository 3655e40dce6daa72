"""Checks of the model plane, the mail server and Polar.sh."""

from collections.abc import Sequence

import aiosmtplib
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from orchestrator.billing.check import check as check_polar
from orchestrator.billing.polar import Polar
from orchestrator.doctor.asking import connected, told
from orchestrator.doctor.findings import Finding, Patient, error, ok, warning
from orchestrator.notifications.mailer import SmtpMailer, mailer_from

NEEDED = ("vad", "whisper", "opus_mt", "coqui_tts")
ANSWER_S = 5.0
RUNBOOK = "See docs/runbook.md"
LATE_S = 900.0


async def models(patient: Patient) -> Sequence[Finding]:
    """Whether the model plane answers, and each of its models is ready."""
    address = patient.model_address
    client = triton.InferenceServerClient(address)
    try:
        index = await client.get_model_repository_index(as_json=True, client_timeout=ANSWER_S)
    except InferenceServerException as failed:
        return error(
            f"The model plane does not answer at {address}: {failed.message()}",
            "Start it (python -m serve), or set OCTAVIA_MODEL_ADDRESS; " + RUNBOOK + "#modelplanedown.",
        )
    finally:
        await client.close()
    known = {model["name"]: model for model in index.get("models", [])}
    found: list[Finding] = []
    for name in dict.fromkeys((*NEEDED, *known)):
        model = known.get(name)
        if model is not None and model.get("state") == "READY":
            found += ok(f"The model {name} is ready.")
        elif name in NEEDED:
            reason = "is not there" if model is None else f"is not ready {model.get('reason', '')}".strip()
            found += error(
                f"The model {name} {reason}.",
                "Read the model plane's log; octavia models verify reads the weights through.",
            )
        elif model is not None:
            found += ok(f"The model {name} is not served: {model.get('reason') or 'it is not ready'}.")
    return found


async def mail(patient: Patient) -> Sequence[Finding]:
    """Whether the mail server lets us in, and mails go out. Sends nothing."""
    settings = patient.settings
    if settings.smtp_host is None:
        return warning(
            f"No mail server is set: mails are written to {settings.data_dir / 'outbox'}.",
            "Set OCTAVIA_SMTP_HOST, _USERNAME and _PASSWORD.",
        )
    mailer = mailer_from(settings)
    assert isinstance(mailer, SmtpMailer)  # noqa: S101
    fix = "Check OCTAVIA_SMTP_HOST, _PORT, _TLS, _USERNAME and _PASSWORD, and that this machine may connect there."
    try:
        await mailer.greet()
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as failed:
        return error(f"The mail server {settings.smtp_host} does not let us in: {failed or type(failed).__name__}", fix)
    found = ok(f"The mail server {settings.smtp_host} lets us in.")
    if patient.database_url is not None:
        async with connected(patient) as connection:
            late = (await told(connection, "octavia_mail_age_seconds"))[()]
        if late > LATE_S:
            found += warning(f"An e-mail has waited for {late:.0f} s.", RUNBOOK + "#mailsdelayed.")
    return found


async def billing(patient: Patient) -> Sequence[Finding]:
    """Whether Polar is set up as the settings say, and what it tells is handled. Raises PolarNotConfiguredError."""
    settings = patient.settings
    if not settings.billing:
        return ok("Billing is off.")
    async with Polar.from_settings(settings) as polar:
        told_by_polar = await check_polar(settings, polar)
    fix = "octavia billing check says it again once it is mended."
    found = [Finding("ok" if each.level == "note" else each.level, each.text, fix) for each in told_by_polar]
    async with connected(patient) as connection:
        late = (await told(connection, "octavia_polar_inbox_age_seconds"))[()]
        failed = (await told(connection, "octavia_polar_inbox_failed"))[()]
    if late > LATE_S:
        found += error(f"A webhook of Polar's has waited for {late:.0f} s.", RUNBOOK + "#polarinboxlagging.")
    if failed:
        found += warning(f"The handling of {failed:.0f} of Polar's webhooks failed.", "octavia billing replay.")
    return found or ok("Polar is set up.")
