"""Log lines that a machine can read."""

import json
import logging

from serve.logs import JsonLines


def test_a_failure_is_one_json_object_with_model_code_and_reason() -> None:
    record = logging.LogRecord("serve", logging.WARNING, __file__, 1, "inference failed", None, None)
    record.__dict__ |= {"model": "vad", "code": "NOT_FOUND", "reason": "no\nsuch", "request_id": "7", "audio": "secret"}
    line = JsonLines().format(record)
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time")
    assert told == {
        "level": "warning",
        "message": "inference failed",
        "model": "vad",
        "code": "NOT_FOUND",
        "reason": "no\nsuch",
        "request_id": "7",
    }
