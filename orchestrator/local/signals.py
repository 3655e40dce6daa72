"""A command that is asked to stop, by Ctrl-C, `kill` or a closed terminal, cleans up before it ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, None]) -> int:
    """Run the work; the first of STOP_SIGNALS cancels it and is the exit code (128 + number), further ones change
    nothing. A signal that is ignored already (`nohup`) stays so. 0 when the work ended by itself.
    """
    return asyncio.run(_until_asked(work))


async def _until_asked(work: Coroutine[Any, Any, None]) -> int:
    task = asyncio.ensure_future(work)
    asked: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            _let_go_of_terminal()
        asked.append(number)
        if len(asked) == 1:
            task.cancel()

    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not asked:
            raise
    except Exception:
        if not asked:
            raise
        log.exception("stopping did not go smoothly")
    return 128 + asked[0] if asked else 0


def _let_go_of_terminal() -> None:
    """Writing to a terminal that is gone fails, and would break off the clean-up."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream.isatty():
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
