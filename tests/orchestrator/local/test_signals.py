"""A command that is asked to stop cleans up, and its exit code says by what it was stopped."""

import signal
import subprocess
import sys
import textwrap

import pytest

from orchestrator.local.signals import run

PROGRAM = """
    import asyncio, signal, sys
    from orchestrator.local.signals import run
    {before}
    async def work():
        print("working", flush=True)
        try:
            await asyncio.sleep(60)
        finally:
            print("cleaning", flush=True)
            await asyncio.sleep({cleaning})
            {after}
            print("clean", flush=True)
    sys.exit(run(work()))
"""


def program(before: str = "", after: str = "", cleaning: float = 0) -> subprocess.Popen[str]:
    text = textwrap.dedent(PROGRAM).format(before=before, after=after, cleaning=cleaning)
    started = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert said(started) == "working"
    return started


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_a_signal_ends_the_work_after_its_clean_up(number: signal.Signals, code: int) -> None:
    process = program()
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (output, errors, process.returncode) == ("cleaning\nclean\n", "", code)


def test_further_signals_do_not_disturb_the_clean_up() -> None:
    process = program(cleaning=1)
    process.terminate()
    assert said(process) == "cleaning"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[0] == "clean\n"
    assert process.returncode == 143


def test_a_hang_up_that_nohup_ignores_stays_ignored() -> None:
    process = program(before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    process.terminate()
    assert process.communicate(timeout=60)[0] == "cleaning\nclean\n"
    assert process.returncode == 143


def test_an_error_in_the_clean_up_is_told_and_the_code_still_names_the_signal() -> None:
    process = program(after="raise ValueError('no disk')")
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert "no disk" in output + errors
    assert process.returncode == 143


def test_work_that_ends_by_itself_gives_zero_and_its_own_error_is_raised() -> None:
    async def fine() -> None:
        return

    async def broken() -> None:
        raise ValueError("broken")

    assert run(fine()) == 0
    with pytest.raises(ValueError, match="broken"):
        run(broken())
