"""`make` on a bare machine: what is missing is installed, with the rights there are, and nothing is done twice."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COREUTILS = ("bash", "env", "dirname", "cat", "rm", "mkdir", "sed", "expand", "make", "sh", "ls", "touch", "printf")


class Machine:
    """A checkout and a PATH that holds nothing but what a test puts there. Stand-ins write down how they are called."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.bin, self.record = folder / "checkout", folder / "bin", folder / "record"
        self.bin.mkdir()
        self.record.touch()
        (self.checkout / "scripts").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", "requirements.lock", "scripts/system_packages.sh"):
            shutil.copy(ROOT / name, self.checkout / name)
        for name in COREUTILS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        self.has("id", "echo 1000", recorded=False)

    def has(self, name: str, then: str = "", *, recorded: bool = True, folder: Path | None = None) -> None:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\n{f"""echo "{name} $*" >>"{self.record}";""" if recorded else ""}\n{then}\n')
        path.chmod(0o755)

    def has_everything(self) -> None:
        for name in ("ffmpeg", "ffprobe", "espeak-ng", "python3.11"):
            self.has(name, recorded=False)
        self.has("fc-list", "echo Noto", recorded=False)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.record.write_text("")
        environment = {"PATH": str(self.bin), **environment}
        return subprocess.run(command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False)

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.run("scripts/system_packages.sh", "python3.11")

    def calls(self) -> list[str]:
        return self.record.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_machine_that_has_everything_is_left_alone(machine: Machine) -> None:
    machine.has_everything()
    machine.has("apt-get")
    assert machine.install().returncode == 0
    assert machine.calls() == []


def test_root_needs_no_sudo(machine: Machine) -> None:
    machine.has_everything()
    (machine.bin / "ffprobe").unlink()
    machine.has("id", "echo 0", recorded=False)
    machine.has("apt-get")
    result = machine.install()
    assert result.returncode == 0, result.stderr
    assert machine.calls() == ["apt-get -qq update", "apt-get -qq install -y --no-install-recommends ffmpeg"]


def test_a_user_installs_through_sudo_and_apt_asks_nothing(machine: Machine) -> None:
    machine.has_everything()
    (machine.bin / "espeak-ng").unlink()
    machine.has("sudo", 'exec "$@"')
    machine.has("apt-get", f'echo "frontend $DEBIAN_FRONTEND" >>"{machine.record}"')
    assert machine.install().returncode == 0
    assert machine.calls()[-3:] == [
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends espeak-ng",
        "apt-get -qq install -y --no-install-recommends espeak-ng",
        "frontend noninteractive",
    ]


@pytest.mark.parametrize("there", ["apt-get", "sudo"])
def test_without_the_means_the_packages_are_named(machine: Machine, there: str) -> None:
    machine.has(there)
    result = machine.install()
    assert result.returncode == 1
    assert "ffmpeg espeak-ng python3.11 python3.11-venv" in result.stderr
    assert machine.calls() == []


def test_a_python_that_cannot_make_a_venv_gets_its_module(machine: Machine) -> None:
    machine.has_everything()
    module = machine.checkout / "module"
    machine.has("python3.11", f"ls {module}", recorded=False)
    machine.has("sudo", 'exec "$@"', recorded=False)
    machine.has("apt-get", f'[ "$2" = update ] || touch {module}')
    assert machine.install().returncode == 0
    assert machine.calls()[-1].endswith("python3.11 python3.11-venv")


def test_a_distribution_without_this_python_is_told_what_else_to_do(machine: Machine) -> None:
    machine.has_everything()
    (machine.bin / "python3.11").unlink()
    machine.has("sudo", 'exec "$@"', recorded=False)
    machine.has("apt-get", '[ "$2" = update ]')
    result = machine.install()
    assert result.returncode == 1
    assert "make PYTHON=" in result.stderr


def test_an_existing_environment_needs_no_other_python(machine: Machine) -> None:
    machine.has_everything()
    (machine.bin / "python3.11").unlink()
    machine.has("pip", folder=machine.checkout / ".venv" / "bin")
    assert machine.install().returncode == 0


@pytest.fixture
def buildable(machine: Machine) -> Machine:
    """A machine on which `make setup` runs a stand-in of the installation."""
    machine.has_everything()
    then = 'mkdir -p .venv; echo "$TORCH_INDEX_URL" >.venv/.installed'
    machine.has("install.sh", then, folder=machine.checkout / "scripts")
    return machine


def installed(machine: Machine, *arguments: str, **environment: str) -> bool:
    result = machine.run("make", "setup", *arguments, **environment)
    assert result.returncode == 0, result.stderr
    return machine.calls() == ["install.sh python3.11"]


def test_what_is_installed_is_not_installed_again(buildable: Machine) -> None:
    assert installed(buildable)
    assert not installed(buildable)


def test_another_source_of_torch_makes_the_environment_anew_and_none_keeps_it(buildable: Machine) -> None:
    assert installed(buildable)
    assert installed(buildable, "TORCH_INDEX_URL=https://one")
    assert not installed(buildable, TORCH_INDEX_URL="https://one")
    assert not installed(buildable)
    assert installed(buildable, TORCH_INDEX_URL="https://two")


def test_help_lists_every_target_that_has_a_line(machine: Machine) -> None:
    result = machine.run("make", "help")
    listed = {line.split()[1] for line in result.stdout.splitlines()}
    assert {"demo", "up", "test", "lint", "soak", "bench", "help"} <= listed
