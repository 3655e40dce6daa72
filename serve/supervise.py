"""`python -m serve` is two processes: this one, which leaves no orphan behind, and the plane itself.

Ray starts a dozen processes, some of which outlive it. This process adopts them (as Linux's child subreaper), passes
signals on, and when the plane has ended, however it did, ends whatever is left. Should this process be killed itself,
the kernel tells the plane (PR_SET_PDEATHSIG), which then stops and clears up by itself.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 3.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2). OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def adopt_orphans() -> None:
    """Descendants whose parent ends become our children, not init's."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def dies_with(parent: int) -> Callable[[], None]:
    """To be run in a new child: SIGTERM when its parent ends, at once if it has ended already."""

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    return prepare


def supervise(command: list[str]) -> int:
    """Runs the command to its end and returns its exit status; none of its descendants is alive then."""
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    child = subprocess.Popen(command, start_new_session=True, preexec_fn=dies_with(os.getpid()))  # noqa: PLW1509
    for each in (*STOP_SIGNALS, signal.SIGUSR1):
        signal.signal(each, lambda number, _: child.send_signal(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    try:
        return child.wait()
    finally:
        end_descendants()


def end_descendants() -> None:
    """Ends every process below this one: asked first, killed after GRACE_S."""
    left = psutil.Process().children(recursive=True)
    for process in left:
        _signal(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=GRACE_S)
    for process in stubborn:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=GRACE_S)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def main() -> int:
    """Supervises the plane. Exit status 0 after a requested stop."""
    return supervise([sys.executable, "-m", "serve.local"])
