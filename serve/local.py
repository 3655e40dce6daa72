"""The process of the plane: prepares the environment, starts the plane, waits, and stops it when told to.

Told by SIGTERM, SIGINT or SIGHUP, or by the end of the process whose id OCTAVIA_PARENT_PID names. SIGUSR1 has it read
serve.yaml and model_repo again and replace, one after another, the replicas that this changes.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import psutil

from serve.environment import prepare_environment
from serve.logs import log_as_json
from serve.settings import ServeSettings
from serve.supervise import adopt_orphans, end_descendants

PARENT_VARIABLE = "OCTAVIA_PARENT_PID"
PARENT_POLL_S = 1.0
UPDATE = signal.SIGUSR1

log = logging.getLogger("serve")


class Stopped(SystemExit):
    """A signal asked us to stop."""


def on_signal(action: Any) -> None:
    """What the signals that ask us to stop do from now on. Ray sets its own in ray.init, so this is called after it."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, action)


def raise_stopped(number: int, frame: FrameType | None) -> None:
    """The first signal unwinds to `main`; further ones don't disturb the stopping."""
    del frame
    on_signal(signal.SIG_IGN)
    raise Stopped(128 + number)


def watch_parent() -> None:
    """Stops the plane when the process named by OCTAVIA_PARENT_PID is gone, even by kill -9."""
    named = os.environ.get(PARENT_VARIABLE)
    if not named:
        return

    def watch() -> None:
        while psutil.pid_exists(int(named)):
            time.sleep(PARENT_POLL_S)
        log.warning("the parent process %s is gone: stopping", named)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> int:
    """Runs the plane. 0 when asked to stop, 1 when it could not start."""
    log_as_json()
    adopt_orphans()
    on_signal(raise_stopped)
    signal.pthread_sigmask(signal.SIG_BLOCK, [UPDATE])  # it waits until the plane is up
    watch_parent()
    try:
        return run(ServeSettings())
    except SystemExit:  # ours, or that of Ray's own handler, which it sets in ray.init
        return 0


def only_voice() -> Callable[[str], None]:
    """What writes a line to standard output, which the ready line has to itself: all else goes where the log goes, as
    what Ray's processes say, which its driver repeats on standard output whenever it hears it."""
    sys.stdout.flush()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(line: str) -> None:
        print(line, file=out, flush=True)

    return say


def run(settings: ServeSettings) -> int:
    """Starts the plane, prints the ready line and waits for a signal."""
    say = only_voice()
    prepare_environment(
        OCTAVIA_SERVE_HOST=settings.serve_host,
        OCTAVIA_SERVE_MAX_REQUEST_BYTES=str(settings.serve_max_request_bytes),
    )
    from serve import plane  # noqa: PLC0415 - imports Ray, which reads the environment
    from serve.repository import RepositoryError  # noqa: PLC0415
    from serve.weights_errors import WeightsError  # noqa: PLC0415

    try:
        plane.check_ports(settings)
        application = plane.application(settings)
        plane.start_ray(settings)
        on_signal(raise_stopped)
        ready = plane.start_models(settings, application)
        say(json.dumps(ready))
        while True:
            signal.sigwaitinfo([UPDATE])
            update(settings)
    except (plane.PortError, RepositoryError, WeightsError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    finally:
        on_signal(signal.SIG_IGN)
        plane.stop()
        end_descendants()


def update(settings: ServeSettings) -> None:
    """Applies the changed configuration; a wrong one is logged and changes nothing."""
    from serve import plane  # noqa: PLC0415
    from serve.weights_errors import WeightsError  # noqa: PLC0415

    log.info("reading the configuration again")
    try:
        plane.update(settings)
    except (ValueError, WeightsError) as error:
        log.error("the configuration was not changed: %s", error)  # noqa: TRY400 - the message says it all
    else:
        log.info("the configuration is in force")


if __name__ == "__main__":
    sys.exit(main())
