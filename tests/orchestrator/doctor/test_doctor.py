"""The doctor: what is broken is found, and each finding says what to do."""

import asyncio
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import tritonclient.grpc.aio as triton
from pydantic import SecretStr
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator import migrations
from orchestrator.doctor import examination, of_data
from orchestrator.doctor.examination import CHECKS, NoSuchCheckError, examine, patient_of
from orchestrator.doctor.findings import Finding, Patient
from orchestrator.doctor.show import show
from orchestrator.jobs.durable import VERSION
from orchestrator.local.ports import free_ports
from orchestrator.settings import Settings
from orchestrator.storage import Storage
from tests.orchestrator.jobs.conftest import MakeJob, job, make_job, make_media, media
from tests.standins.polar import PolarStandIn
from tests.standins.smtp import SECRET, USERNAME, SmtpServer

__all__ = ["job", "make_job", "make_media", "media"]

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(app_settings: Settings) -> Settings:
    return app_settings.model_copy(update={"model_address": f"127.0.0.1:{free_ports(1)[0]}"})


async def found(name: str, settings: Settings, **changes: object) -> Sequence[Finding]:
    """What a check finds, as `octavia doctor` runs it."""
    settings = settings.model_copy(update=changes)
    patient = Patient(settings, settings.database_url, settings.model_address)
    (checked,) = [each async for each in examine(patient, [name])]
    return checked.findings


async def worst(name: str, settings: Settings, **changes: object) -> Finding:
    """The worst thing it finds. What is not well says what to do."""
    findings = await found(name, settings, **changes)
    assert all(each.fix or each.level == "ok" or "OCTAVIA_DATABASE_URL" in each.text for each in findings), findings
    return min(findings, key=lambda each: ("error", "warning", "ok").index(each.level))


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))


async def test_of_a_database_in_order_it_says_so(settings: Settings) -> None:
    assert [each.level for each in await found("database", settings)] == ["ok", "ok"]
    assert (await worst("clock", settings)).level == "ok"
    assert (await worst("queue", settings)).level == "ok"
    assert (await worst("webhooks", settings)).level == "ok"
    assert (await worst("billing", settings)).text == "Billing is off."


async def test_a_database_that_is_away_is_an_error(settings: Settings) -> None:
    finding = await worst("database", settings, database_url="postgresql://nobody@127.0.0.1:1/none")
    assert finding.level == "error"
    assert "connection failed" in finding.text


async def test_no_database_at_all_is_an_error_that_names_the_setting(settings: Settings) -> None:
    finding = await worst("database", settings, database_url=None)
    assert (finding.level, "OCTAVIA_DATABASE_URL" in finding.text) == ("error", True)


async def test_tables_of_another_revision_are_an_error(settings: Settings, engine: AsyncEngine) -> None:
    try:
        await execute(engine, "update alembic_version set version_num = '0003'")
        finding = await worst("database", settings)
    finally:
        await execute(engine, f"update alembic_version set version_num = '{migrations.newest()}'")  # noqa: S608
    assert "0003" in finding.text
    assert "orchestrator.migrations upgrade" in finding.fix


async def test_a_database_with_few_connections_left_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_data, "BUSY", 0.0)
    fix = (await worst("database", settings)).fix
    assert "max_connections" in fix
    assert "an API process takes up to 14, a worker up to 20" in fix


@pytest.mark.parametrize(("apart", "level"), [(3.0, "warning"), (60.0, "error")])
async def test_clocks_that_differ_are_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, apart: float, level: str
) -> None:
    real = time.time
    monkeypatch.setattr(of_data, "time", SimpleNamespace(time=lambda: real() + apart))
    finding = await worst("clock", settings)
    assert (finding.level, "NTP" in finding.fix) == (level, True)


async def test_a_storage_that_cannot_be_written_is_an_error(settings: Settings, tmp_path: Path) -> None:
    assert (await worst("storage", settings)).level == "ok"
    (tmp_path / "file").touch()
    finding = await worst("storage", settings, storage_url=f"file://{tmp_path}/file/storage")
    assert finding.level == "error"


async def test_a_storage_that_keeps_what_is_deleted_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None: ...

    monkeypatch.setattr(Storage, "delete", nothing)
    assert "still there" in (await worst("storage", settings)).text


@pytest.mark.parametrize(("free", "level"), [(2**29, "error"), (5 * 2**30, "warning"), (2**40, "ok")])
async def test_a_disk_that_fills_up_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free, total=2**41))
    assert (await worst("disk", settings)).level == level


async def test_a_scratch_folder_with_a_limit_of_its_own_is_told_by_that(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**40, total=2**41))
    finding = await worst("disk", settings, scratch_room_bytes=5 * 2**30)
    assert finding.level == "warning"
    assert finding.text.startswith("5.0 GiB are free for scratch")
    assert "OCTAVIA_SCRATCH_ROOM_BYTES" in finding.fix


def stand_in(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (folder / name).chmod(0o755)


async def test_the_ffmpeg_of_this_machine_has_what_is_needed(settings: Settings) -> None:
    assert (await worst("programs", settings)).level == "ok"


async def test_without_ffmpeg_it_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = await worst("programs", settings)
    assert (finding.level, "apt-get install ffmpeg" in finding.fix) == ("error", True)


async def test_an_ffmpeg_that_lacks_something_is_an_error_that_names_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = " V....D libx264   H.264\n A....D aac    AAC\n ... ebur128  A->N"
    for name in ("ffmpeg", "ffprobe"):
        stand_in(tmp_path / "bin", name, listed)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    findings = await found("programs", settings)
    assert "the encoder libopus" in findings[0].text
    assert "libx264" not in findings[0].text
    assert any("rubberband" in each.text and each.level == "warning" for each in findings)


async def test_a_machine_without_fonts_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert "fontconfig" in (await worst("fonts", settings)).text
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "fc-list").symlink_to(shutil.which("true", path="/usr/bin:/bin") or "/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert (await worst("fonts", settings)).text == "No font is installed."


async def test_a_model_plane_that_is_away_is_an_error(settings: Settings) -> None:
    finding = await worst("models", settings)
    assert (finding.level, "python -m serve" in finding.fix) == ("error", True)


async def test_a_model_that_is_not_ready_or_not_there_is_an_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = [{"name": "vad", "state": "READY"}, {"name": "whisper", "state": "UNAVAILABLE", "reason": "loading"}]
    index += [{"name": "align", "state": "UNAVAILABLE", "reason": "not named in OCTAVIA_ALIGN"}]

    class Client:
        def __init__(self, _: str) -> None: ...

        async def get_model_repository_index(self, **_: object) -> dict[str, object]:
            return {"models": index}

        async def close(self) -> None: ...

    monkeypatch.setattr(triton, "InferenceServerClient", Client)
    errors = [each.text for each in await found("models", settings) if each.level == "error"]
    assert errors == [
        "The model whisper is not ready loading.",
        "The model opus_mt is not there.",
        "The model coqui_tts is not there.",
    ]


async def test_no_worker_is_an_error(settings: Settings) -> None:
    assert (await worst("workers", settings)).text == "No worker runs: jobs wait."


async def test_workers_are_told_by_beat_and_version(settings: Settings, engine: AsyncEngine) -> None:
    await execute(engine, f"insert into worker (executor_id, version, state) values ('a', '{VERSION}', 'up')")  # noqa: S608
    assert (await worst("workers", settings)).text == "1 workers beat."
    await execute(
        engine,
        "insert into worker (executor_id, version, state) values ('b', 'next', 'up')",
        "insert into worker (executor_id, version, state) values ('c', '1', 'lost')",
    )
    warnings = [each.text for each in await found("workers", settings) if each.level == "warning"]
    assert [warning.split()[0] for warning in warnings] == ["Workers", "1"]


async def test_work_that_no_worker_may_do_is_an_error(settings: Settings, engine: AsyncEngine) -> None:
    await execute(
        engine,
        "insert into dbos.workflow_status (workflow_uuid, status, name, application_version, created_at, updated_at)"
        " values ('w', 'ENQUEUED', 'job', 'old', 0, 0)",
        f"insert into worker (executor_id, version, state) values ('a', '{VERSION}', 'up')",  # noqa: S608
    )
    assert "1 workflows wait for a version" in (await worst("workers", settings)).text


@pytest.mark.parametrize(("minutes", "level"), [(1, "ok"), (20, "warning"), (90, "error")])
async def test_a_queue_that_grows_old_is_told(
    settings: Settings, engine: AsyncEngine, make_job: MakeJob, minutes: int, level: str
) -> None:
    await make_job(started=False)
    await execute(engine, f"update job set queued_at = now() - interval '{minutes} minutes'")  # noqa: S608
    assert (await worst("queue", settings)).level == level


async def test_jobs_that_are_stuck_are_told(settings: Settings, engine: AsyncEngine, make_job: MakeJob) -> None:
    await make_job()
    for statement in ("update job set started_at = {}", "update job_event set at = {}"):
        await execute(engine, statement.format("now() - interval '1 hour'"))
    assert (await worst("queue", settings)).level == "warning"


async def test_a_mail_server_is_greeted_and_nothing_is_sent(settings: Settings) -> None:
    with SmtpServer() as smtp:
        mail = {"smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_tls": "none", "smtp_timeout_s": 5.0}
        assert (await worst("mail", settings, **mail)).level == "ok"
        assert not smtp.message_ids
        await asyncio.to_thread(smtp.stop)
        assert "does not let us in" in (await worst("mail", settings, **mail)).text
    assert "outbox" in (await worst("mail", settings)).text


async def test_a_wrong_password_of_the_mail_server_is_an_error(settings: Settings) -> None:
    with SmtpServer(login=True) as smtp:
        mail = {"smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_tls": "none", "smtp_username": USERNAME}
        assert (await worst("mail", settings, **mail, smtp_password=SecretStr(SECRET))).level == "ok"
        refused = await worst("mail", settings, **mail, smtp_password=SecretStr("wrong"))
    assert (refused.level, "wrong" in refused.text) == ("error", False)


async def test_what_polar_is_not_set_up_for_is_told(
    settings: Settings, polar_standin: PolarStandIn, engine: AsyncEngine
) -> None:
    sell = {"billing": True, "polar_url": polar_standin.url, "polar_access_token": SecretStr("polar_oat_wrong")}
    assert (await worst("billing", settings, **sell)).level == "error"
    await execute(
        engine,
        "insert into polar_event (webhook_id, type, timestamp, body, received_at)"
        " values ('w', 'order.paid', now(), '', now() - interval '1 hour')",
    )
    sell["polar_access_token"] = SecretStr(polar_standin.token)
    assert any("has waited for 36" in each.text for each in await found("billing", settings, **sell))


async def test_webhooks_that_nobody_sends_are_an_error(settings: Settings, engine: AsyncEngine, job: object) -> None:
    del job
    await execute(
        engine,
        "insert into webhook_endpoint (id, user_id, url, events, secret)"
        " select gen_random_uuid(), id, 'https://x.example/', '{job.completed}', 's' from user_account",
        "insert into webhook_delivery (id, endpoint_id, event, body, created_at)"
        " select gen_random_uuid(), id, 'job.completed', '{}', now() - interval '1 hour' from webhook_endpoint",
    )
    assert (await worst("webhooks", settings)).level == "error"


async def test_settings_that_production_refuses_are_errors(settings: Settings) -> None:
    assert (await worst("settings", settings)).level == "warning"
    refused = await found("settings", settings, mode="production")
    assert {each.level for each in refused} == {"error"}
    assert any("OCTAVIA_SMTP_HOST" in each.text for each in refused)


async def test_a_check_that_does_not_end_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(_: Patient) -> Sequence[Finding]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(examination, "CHECK_S", 0.01)
    monkeypatch.setattr(examination, "CHECKS", {**CHECKS, "fonts": hangs})
    assert "did not end" in (await worst("fonts", settings)).text


async def test_a_check_there_is_not_is_refused_with_those_there_are(settings: Settings) -> None:
    with pytest.raises(NoSuchCheckError, match="database"):
        await found("heart", settings)


async def test_findings_are_told_to_people_and_to_programs(settings: Settings) -> None:
    for as_json in (False, True):
        console = Console(record=True, file=None, width=200)
        only = ["settings", "queue"]
        assert not await show(settings, console, as_json=as_json, only=only)
        text = console.export_text()
        if as_json:
            told = json.loads(text)
            assert [each["check"] for each in told] == only
            assert set(told[0]["findings"][0]) == {"level", "text", "fix"}
        else:
            assert "0 errors, 1 warnings." in text
    assert await show(settings, Console(quiet=True), as_json=False, only=["workers"])


async def test_a_running_system_is_found_by_its_data_folder(settings: Settings) -> None:
    alone = settings.model_copy(update={"database_url": None})
    assert (await patient_of(alone)).database_url is None
