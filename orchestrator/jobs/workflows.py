"""The durable workflows: a job, its windows heard, its passages spoken.

Only order is decided here; the work is in hearing, speaking and assembling, each call a step that a restart repeats at
most while it runs. Arguments and results are ids and counts: texts stay in our tables, sound in storage. Nothing but
enqueueing and waiting stands between steps, so that a replay takes the same numbers (see `durable`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NotRequired, TypedDict, TypeVar, cast
from uuid import UUID

import structlog
from dbos import DBOS, WorkflowHandleAsync
from dbos._error import DBOSAwaitedWorkflowCancelledError, DBOSException

from orchestrator.editing import preparing
from orchestrator.errors import OctaviaError
from orchestrator.jobs import (
    assembling,
    captions,
    diarizing,
    durable,
    hearing,
    measuring,
    progress,
    speaking,
    writing,
)
from orchestrator.jobs.context import current
from orchestrator.jobs.heartbeat import running
from orchestrator.jobs.kinds import OF_SUBTITLES
from orchestrator.jobs.steps import JobEndedError, step

log = structlog.get_logger(__name__)

POLL_S = 0.1
SPOKEN_POLL_S = 0.2
"""How often a job looks whether the window it waits for is heard; whether each passage is spoken."""

T = TypeVar("T")
Outcome = Callable[..., Coroutine[Any, Any, bool]]


class Brief(TypedDict):
    """What a job's order depends on, fixed at its start."""

    user: str
    targets: list[str]
    source: str | None
    kind: NotRequired[str]
    """Not told by jobs that began before there was more than one course."""
    paid: NotRequired[bool]
    speakers: NotRequired[bool]
    """Whether it is asked who speaks."""
    cloned: NotRequired[bool]
    regenerates: NotRequired[bool]


begin = step("begin", hearing.begin)
extract = step("extract", hearing.extract, room="media")
listen = step("listen", hearing.listen)
detect = step("detect", hearing.detect)
note_silence = step("note_silence", hearing.note_silence)
plan_speakers = step("plan_speakers", diarizing.plan_speakers)
tell_apart = step("tell_apart", diarizing.tell_apart, room="chunks")
settle_speakers = step("settle_speakers", diarizing.settle_speakers)
take_references = step("take_references", diarizing.take_references, room="media")
transcribe_window = step("transcribe", hearing.transcribe_window, of="window", room="chunks")
close_passages = step("segment", hearing.close_passages)
check_route = step("check_route", speaking.check_route)
translate_passage = step("translate", speaking.translate_passage, of="passage", room="chunks")
speak_passage = step("speak", speaking.speak_passage, of="passage", room="chunks")
read_cues = step("read_cues", captions.read_cues)
write_translation = step("write_translation", captions.write_translation)
prepare_again = step("prepare", preparing.prepare)
place = step("place", assembling.place_dub)
write_subtitles = step("write_subtitles", writing.write_subtitles)
render = step("render", assembling.render, room="media")
measure = step("measure", measuring.measure, room="media")


@DBOS.workflow(name="hear", max_recovery_attempts=durable.MAX_JOB_RECOVERY_ATTEMPTS)
async def hear(job_id: str, window: int) -> None:
    """Transcribe one window."""
    with running():
        await _or_fail(job_id, transcribe_window(job_id, window))


@DBOS.workflow(name="diarize", max_recovery_attempts=durable.MAX_JOB_RECOVERY_ATTEMPTS)
async def diarize(job_id: str, piece: int) -> None:
    """Tell the speakers of one piece apart."""
    with running():
        await _or_fail(job_id, tell_apart(job_id, piece))


@DBOS.workflow(name="speak", max_recovery_attempts=durable.MAX_JOB_RECOVERY_ATTEMPTS)
async def speak(job_id: str, language: str, passage: int) -> None:
    """Translate one passage and, where the job is a dub, speak it into its slots."""
    with running():
        await _or_fail(job_id, _translate_and_speak(job_id, language, passage))


@DBOS.workflow(name=durable.JOB_WORKFLOW, max_recovery_attempts=durable.MAX_JOB_RECOVERY_ATTEMPTS)
async def run_job(job_id: str) -> None:
    """One attempt at a job, from its media to its artifacts; whatever happens, the job ends with an outcome."""
    with running():
        artifacts = await _or_fail(job_id, _produce(job_id))
        if artifacts is not None:
            await _end("complete", progress.complete, UUID(job_id), artifacts)


async def _or_fail(job_id: str, work: Awaitable[T]) -> T | None:
    """The work's result; None where it failed, and with it the job: at once, and every other part of it ends at its
    next step."""
    try:
        return await work
    except OctaviaError as error:
        code, message = error.code, error.message
    except DBOSAwaitedWorkflowCancelledError:
        code, message = "interrupted", "A part of the job was cancelled. Start it again."
    except Exception as error:  # the workflow's outermost frame: a bug must fail the job, not leave it hanging
        log.exception("job failed unexpectedly", job_id=job_id, kind=type(error).__name__)
        code = "internal"
        message = "Something went wrong on our side. Start the job again; if it fails again, tell us its id."
    await _end("fail", progress.fail, UUID(job_id), code, message)
    return None


async def _translate_and_speak(job_id: str, language: str, passage: int) -> None:
    await translate_passage(job_id, language, passage)
    await speak_passage(job_id, language, passage)


async def _produce(job_id: str) -> list[dict[str, Any]]:
    brief: Brief = await begin(job_id)
    if brief.get("regenerates"):
        return await _produce_again(job_id, brief)
    if brief.get("kind") in OF_SUBTITLES:
        return await _produce_from_cues(job_id, brief)
    return await _produce_from_sound(job_id, brief)


async def _produce_from_cues(job_id: str, brief: Brief) -> list[dict[str, Any]]:
    """A subtitle file's passages, all at once, in every language; then the file translated, or its speech."""
    queue = durable.chunks_queue(paid=brief.get("paid", False))
    passages: int = await read_cues(job_id)
    for target in brief["targets"]:
        await check_route(job_id, brief["source"], target)
    spoken: list[WorkflowHandleAsync[None]] = []
    for passage in range(passages):
        for target in brief["targets"]:
            with durable.for_user(brief["user"]):
                spoken.append(await DBOS.enqueue_workflow_async(queue, speak, job_id, target, passage))
    for handle in spoken:  # one after the other: hundreds that look for their ends at once keep the database busy
        await handle.get_result(polling_interval_sec=SPOKEN_POLL_S)
    if brief.get("kind") == "subtitle_translation":
        return cast(list[dict[str, Any]], await write_translation(job_id))
    artifacts: list[dict[str, Any]] = []
    for target in brief["targets"]:
        await place(job_id, target)
        artifacts += await render(job_id, target)
        artifacts += await _measured(job_id, target)
    return artifacts


async def _produce_again(job_id: str, brief: Brief) -> list[dict[str, Any]]:
    """What was changed in a transcript, translated and spoken; then all files anew."""
    queue = durable.chunks_queue(paid=brief.get("paid", False))
    passages: int = await prepare_again(job_id)
    spoken: list[WorkflowHandleAsync[None]] = []
    for passage in range(passages):
        for target in brief["targets"]:
            with durable.for_user(brief["user"]):
                spoken.append(await DBOS.enqueue_workflow_async(queue, speak, job_id, target, passage))
    for handle in spoken:
        await handle.get_result(polling_interval_sec=POLL_S)
    if brief.get("kind") == "subtitle_translation":
        return cast(list[dict[str, Any]], await write_translation(job_id))
    for target in brief["targets"]:
        await place(job_id, target)
    artifacts = [] if brief.get("kind") in OF_SUBTITLES else await write_subtitles(job_id)
    for target in brief["targets"]:
        artifacts += await render(job_id, target)
        artifacts += await _measured(job_id, target)
    return cast(list[dict[str, Any]], artifacts)


async def _produce_from_sound(job_id: str, brief: Brief) -> list[dict[str, Any]]:
    await extract(job_id)
    windows: int = await listen(job_id)
    if windows:
        source = brief["source"] or await detect(job_id)
        for target in brief["targets"]:
            if source:
                await check_route(job_id, source, target)
        if not await _hear_and_speak(job_id, brief, windows):
            await note_silence(job_id)
    else:
        await note_silence(job_id)
    for target in brief["targets"]:
        await place(job_id, target)
    artifacts = await write_subtitles(job_id)
    for target in brief["targets"]:
        artifacts += await render(job_id, target)
        artifacts += await _measured(job_id, target)
    return cast(list[dict[str, Any]], artifacts)


async def _measured(job_id: str, target: str) -> list[dict[str, Any]]:
    """The quality report's files; none where measuring failed: a dub that is finished is not given up for that."""
    try:
        return cast(list[dict[str, Any]], await measure(job_id, target))
    except (JobEndedError, DBOSException):
        raise
    except Exception as error:  # also a bug: it must not cost anybody their dub
        log.exception("a dub has no quality report", job_id=job_id, language=target, kind=type(error).__name__)
        return []


async def _hear_and_speak(job_id: str, brief: Brief, windows: int) -> int:
    """All windows at once; each passage as soon as the window after it is heard, so that the stages overlap.

    Returns how many segments there are.
    """
    queue = durable.chunks_queue(paid=brief.get("paid", False))
    with durable.for_user(brief["user"], durable.HEARING_PRIORITY):
        heard = await asyncio.gather(
            *(DBOS.enqueue_workflow_async(queue, hear, job_id, window) for window in range(windows))
        )
    if brief.get("speakers"):
        await _tell_speakers_apart(job_id, brief)
    spoken: list[WorkflowHandleAsync[None]] = []
    done: hearing.Segmented = {"segments": 0, "passages": 0, "rest": 0}
    for window, handle in enumerate(heard):
        await handle.get_result(polling_interval_sec=POLL_S)
        before = done["passages"]
        done = await close_passages(job_id, window, done, window == windows - 1)
        for passage in range(before, done["passages"]):
            for target in brief["targets"]:
                with durable.for_user(brief["user"]):
                    spoken.append(await DBOS.enqueue_workflow_async(queue, speak, job_id, target, passage))
    # All are waited for before one's failure is raised: a result that came in later would take a later step's number.
    waiting = (handle.get_result(polling_interval_sec=SPOKEN_POLL_S) for handle in spoken)
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
    return done["segments"]


async def _tell_speakers_apart(job_id: str, brief: Brief) -> None:
    """Before the first sentence is cut: it ends where another speaks."""
    queue = durable.chunks_queue(paid=brief.get("paid", False))
    pieces: int = await plan_speakers(job_id)
    told: list[WorkflowHandleAsync[None]] = []
    for piece in range(pieces):
        with durable.for_user(brief["user"], durable.HEARING_PRIORITY):
            told.append(await DBOS.enqueue_workflow_async(queue, diarize, job_id, piece))
    for handle in told:
        await handle.get_result(polling_interval_sec=SPOKEN_POLL_S)
    if pieces or brief.get("cloned"):
        await settle_speakers(job_id)
    if brief.get("cloned"):
        await take_references(job_id)


async def _end(name: str, outcome: Outcome, *arguments: Any) -> None:
    """The outcome of this attempt at the job in one transaction with the record that it was decided."""
    datasource = current().datasource
    attempt = durable.attempt_of(str(DBOS.workflow_id))

    async def decide() -> None:
        await outcome(datasource.sql_session(), *arguments, attempt=attempt)

    await datasource.run_tx_step_async({"name": name, "isolation_level": "READ COMMITTED"}, decide)
