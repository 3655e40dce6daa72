"""What we rely on in DBOS: readable rows, errors that survive a replay, and the calls beneath its public surface."""

import inspect
import json
from typing import cast

import pytest
import sqlalchemy as sa
from dbos import DBOS, EnqueueOptions
from dbos._error import DBOSAwaitedWorkflowCancelledError
from dbos._sys_db import SystemDatabase
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from orchestrator.database import make_sync_engine
from orchestrator.errors import OctaviaError
from orchestrator.jobs import durable
from orchestrator.jobs.durable import JsonSerializer

SERIALIZER = JsonSerializer()
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "__error__"), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_comes_back_as_it_was(value: object) -> None:
    assert SERIALIZER.deserialize(SERIALIZER.serialize(value)) == value


def test_rows_are_json_that_anybody_can_read() -> None:
    assert json.loads(SERIALIZER.serialize({"args": ["a"], "kwargs": {}})) == {"args": ["a"], "kwargs": {}}


def test_our_errors_keep_code_message_and_status_through_a_replay() -> None:
    error = SERIALIZER.deserialize(SERIALIZER.serialize(OctaviaError("no_voice", "There is no voice.", 422)))
    assert isinstance(error, OctaviaError)
    assert (error.code, error.message, error.status) == ("no_voice", "There is no voice.", 422)


def test_a_cancelled_child_is_still_known_as_such_after_a_replay() -> None:
    error = SERIALIZER.deserialize(SERIALIZER.serialize(DBOSAwaitedWorkflowCancelledError("child-1")))
    assert isinstance(error, DBOSAwaitedWorkflowCancelledError)


def test_an_unknown_error_becomes_one_that_names_it() -> None:
    error = SERIALIZER.deserialize(SERIALIZER.serialize(KeyError("x")))
    assert isinstance(error, RuntimeError)
    assert "KeyError" in str(error)


def test_what_is_not_json_is_refused_rather_than_pickled() -> None:
    with pytest.raises(TypeError, match="plain lists"):
        SERIALIZER.serialize({"when": object()})


def test_many_events_are_enqueued_by_one_statement_as_each_would_be_by_the_client(database_url: str) -> None:
    engine = make_sync_engine(database_url)
    client = durable.api_client(engine)
    one = {
        "queue_name": durable.POLAR_EVENTS_QUEUE,
        "workflow_name": durable.POLAR_EVENT_WORKFLOW,
        "workflow_id": "polar-by-the-client",
    }
    with Session(engine) as session:
        client.enqueue_in_transaction(session, cast(EnqueueOptions, one), "by-the-client")
        durable.enqueue_polar_events(session, ["first", 'it\'s "second"'])
        session.commit()
        rows = session.execute(
            sa.text(
                "select workflow_uuid, status, name, queue_name, priority, application_name, application_version,"
                " executor_id, recovery_attempts, queue_partition_key, deduplication_id, parent_workflow_id"
                " from dbos.workflow_status where workflow_uuid like 'polar-%'"
            )
        ).all()
    client.destroy()
    engine.dispose()
    assert {row[0] for row in rows} == {"polar-by-the-client", "polar-first", 'polar-it\'s "second"'}
    assert len({row[1:] for row in rows}) == 1, rows


def test_the_calls_beneath_the_public_surface_are_still_there() -> None:
    recover = inspect.signature(DBOS._recover_pending_workflows)
    give_back = inspect.signature(SystemDatabase.reenqueue_for_recovery)
    assert list(recover.parameters) == ["executor_ids"]
    assert list(give_back.parameters) == ["self", "workflow_id", "executor_ids", "recovery_queue_name"]
