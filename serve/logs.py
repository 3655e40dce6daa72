"""One JSON object a line on standard error, in every process of the plane."""

import json
import logging
import sys

FIELDS = ("model", "code", "reason", "request_id")
LOGGER = "serve"


class JsonLines(logging.Formatter):
    """One JSON object a line, with those of FIELDS that the record was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= {field: getattr(record, field) for field in FIELDS if hasattr(record, field)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json() -> None:
    """Our own loggers, all below LOGGER, write JSON lines; what others set up stays as it is."""
    log = logging.getLogger(LOGGER)
    if log.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def quiet_libraries() -> None:
    """Model libraries log each step; only what went wrong is of interest."""
    for name in ("TTS", "faster_whisper", "trainer", "matplotlib", "numba"):
        logging.getLogger(name).setLevel(logging.ERROR)
