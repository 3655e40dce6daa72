"""The process of the plane: prepares the environment, starts the plane, waits, and stops it when told to.

Told by SIGTERM, SIGINT or SIGHUP, or by the end of the process whose id OCTAVIA_PARENT_PID names. SIGUSR1 has it read
serve.yaml and model_repo again and replace, one after another, the replicas that this changes.

The main thread starts and changes nothing itself: it waits while another one does, and stops Ray in the end. For on the
main thread a signal interrupts Ray, which loses an exception raised there now and then, and ray.init sets a handler.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from types import FrameType
from typing import Any, NoReturn, TypeVar

import psutil

from serve.environment import prepare_environment
from serve.logs import log_as_json
from serve.settings import ServeSettings
from serve.supervise import adopt_orphans, end_descendants

PARENT_VARIABLE = "OCTAVIA_PARENT_PID"
PARENT_POLL_S = 1.0
UPDATE = signal.SIGUSR1

Result = TypeVar("Result")

log = logging.getLogger("serve")


class Stopped(SystemExit):
    """A signal asked us to stop."""


def on_signal(action: Any) -> None:
    """What the signals that ask us to stop do from now on."""
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, action)


def end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    """A handler for as long as no request can have come in: ends every descendant and this process, with status 0."""
    del frame
    on_signal(signal.SIG_IGN)
    log.info("stopped by %s while starting", signal.Signals(number).name)
    end_descendants()
    os._exit(0)


def raise_stopped(number: int, frame: FrameType | None) -> NoReturn:
    """A handler while requests are served: the first signal unwinds to `main`, further ones do nothing."""
    del frame
    on_signal(signal.SIG_IGN)
    raise Stopped(128 + number)


class Beside:
    """Another thread for work that the main one waits for. It lives as long as the process, for the kernel ends Ray's
    processes with the thread that started them (PR_SET_PDEATHSIG).
    """

    def __init__(self) -> None:
        self._works: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._serve, name="beside", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._works.get()()

    def __call__(self, work: Callable[[], Result]) -> Result:
        """What the work returns. Raises what it raises, and what a signal's handler raises meanwhile."""
        outcome: Future[Result] = Future()

        def do() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the work is waited for
                outcome.set_exception(error)

        self._works.put(do)
        return outcome.result()


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
    on_signal(end_at_once)
    signal.pthread_sigmask(signal.SIG_BLOCK, [UPDATE])  # it waits until the plane is up
    watch_parent()
    try:
        return run(ServeSettings())
    except Stopped:
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

    beside = Beside()

    def start() -> dict[str, Any]:
        application = plane.application(settings)
        plane.start_ray(settings)
        return plane.start_models(settings, application)

    try:
        plane.check_ports(settings)
        ready = beside(start)
        on_signal(raise_stopped)
        say(json.dumps(ready))
        while True:
            signal.sigwaitinfo([UPDATE])
            beside(lambda: update(settings))
    except (plane.PortError, RepositoryError, WeightsError, ValueError) as error:
        log.error("%s", error)  # noqa: TRY400 - the message says it all
        return 1
    finally:
        on_signal(signal.SIG_IGN)
        plane.stop()
        end_descendants()


def update(settings: ServeSettings) -> None:
    """Applies the changed configuration. A wrong one is logged and changes nothing; what fails later is logged too."""
    from serve import plane  # noqa: PLC0415
    from serve.weights_errors import WeightsError  # noqa: PLC0415

    log.info("reading the configuration again")
    try:
        plane.update(settings)
    except (ValueError, WeightsError) as error:
        log.error("the configuration was not changed: %s", error)  # noqa: TRY400 - the message says it all
    except Exception:
        log.exception("the configuration is not in force, or not all of it; the replicas that run go on")
    else:
        log.info("the configuration is in force")


if __name__ == "__main__":
    sys.exit(main())
