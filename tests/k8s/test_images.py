"""The images: what builds them, what each plane has of the lock, and that the steps work outside a container."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from scripts import plane_requirements
from scripts.kubernetes.generate import CHECKOUT, OVERLAYS
from scripts.kubernetes.manifests import Deployed
from scripts.kubernetes.rules_pods import release
from serve.settings import ServeSettings

CONTAINERS = CHECKOUT / "containers"
PACKAGES = {"control": "orchestrator", "models": "serve"}
NEVER_IN_CONTROL = {"torch", "ray", "transformers", "coqui-tts", "faster-whisper", "ctranslate2", "onnxruntime"}
INSTALLED_APART = {"torch", "whisperx"}
"""By containers/install.sh, for torch comes from an index of its own and whisperx without its pins."""


def names(plane: str) -> set[str]:
    lines = (CONTAINERS / f"{plane}.lock").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(line.partition("==")[0]) for line in lines if not line.startswith("#")}


@pytest.mark.parametrize("file", sorted(CONTAINERS.glob("Containerfile.*")), ids=lambda path: path.suffix[1:])
def test_the_linter_of_containerfiles_has_nothing_to_say(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--failure-threshold", "style", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", sorted(CONTAINERS.glob("Containerfile.*")), ids=lambda path: path.suffix[1:])
def test_an_image_has_two_stages_of_one_pinned_base_and_a_numeric_user(file: Path) -> None:
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line[:1].isupper()]
    assert [words[1] for words in lines if words[0] == "FROM"] == ["${BASE}", "${BASE}"]
    (base,) = [words[1] for words in lines if words[0] == "ARG" and words[1].startswith("BASE=")]
    assert base.count(":") == 1
    assert not base.endswith("latest")
    assert ["USER", "10001:10001"] in lines
    assert f":{release()}" in file.read_text(encoding="utf-8")


def test_the_planes_parts_of_the_lock_were_not_changed_by_hand() -> None:
    for name, plane in plane_requirements.planes().items():
        made = plane_requirements.lock_of(plane)
        assert (CONTAINERS / f"{name}.lock").read_text(encoding="utf-8") == made, "python -m scripts.plane_requirements"


def test_every_dependency_of_the_project_is_of_a_plane() -> None:
    planes = plane_requirements.planes().values()
    given = {canonicalize_name(name) for plane in planes for name in (*plane["dependencies"], *plane["without"])}
    assert given == set(plane_requirements.declared())


def test_the_control_plane_has_nothing_of_the_model_plane() -> None:
    assert not names("control") & NEVER_IN_CONTROL
    assert not any(name.startswith("nvidia-") for name in names("control"))


@pytest.mark.parametrize("plane", PACKAGES)
def test_whatever_a_plane_imports_is_in_its_part_of_the_lock(plane: str) -> None:
    distributions = packages_distributions()
    there = names(plane) | INSTALLED_APART
    without = {canonicalize_name(name) for name in plane_requirements.planes()[plane]["without"]}
    missing = {
        (str(file.relative_to(CHECKOUT)), module)
        for file, module in imported(CHECKOUT / PACKAGES[plane])
        if not {canonicalize_name(name) for name in distributions.get(module, [module])} & (there | without)
    }
    assert missing == set()


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each file's top-level modules from outside the project and the standard library."""
    ours = {"orchestrator", "serve"} | sys.stdlib_module_names
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            yield from ((file, top) for top in (module.partition(".")[0] for module in modules) if top not in ours)


def test_workers_have_the_fonts_in_an_image_that_they_have_on_a_machine() -> None:
    (packages,) = re.findall(r"^ *control\) packages=\((.*?)\)", (CONTAINERS / "system.sh").read_text(), re.MULTILINE)
    on_a_machine = (CHECKOUT / "scripts" / "system_packages.sh").read_text(encoding="utf-8")
    fonts = set(re.findall(r"^has_font \w+ \|\| wanted\+=\((\S+)\)$", on_a_machine, re.MULTILINE))
    assert len(fonts) == 2
    assert fonts | {"ffmpeg", "fontconfig"} == set(packages.split())


def weights(command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """containers/weights.sh, with a Python that writes down how it was called."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\ntest -z "$FAIL"\n')
    python.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "OCTAVIA_WEIGHTS_DIR": str(folder / "weights"),
        "OCTAVIA_MODEL_REPO": str(CHECKOUT / "model_repo"),
        "OCTAVIA_PYTHON": str(python),
        "OCTAVIA_WAIT_EVERY_S": "0.1",
    }
    script = CONTAINERS / "weights.sh"
    return subprocess.run(
        [script, command], env=environment | variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_weights_are_noted_when_they_are_there_and_asked_for_anew_when_others_are_wanted(tmp_path: Path) -> None:
    assert weights("there", tmp_path).returncode == 1
    assert weights("pull", tmp_path).returncode == 0
    assert (tmp_path / "calls").read_text() == "-m serve.weights pull\n"
    assert weights("there", tmp_path).returncode == 0
    assert weights("wait", tmp_path).stdout == ""
    assert weights("there", tmp_path, OCTAVIA_WHISPER="faster-whisper-small").returncode == 1


def test_weights_that_could_not_be_fetched_are_not_noted(tmp_path: Path) -> None:
    assert weights("pull", tmp_path, FAIL="1").returncode == 1
    assert weights("there", tmp_path).returncode == 1


def test_what_does_not_choose_weights_does_not_ask_for_others(tmp_path: Path) -> None:
    assert weights("pull", tmp_path, OCTAVIA_HUB_TIMEOUT_S="9", OCTAVIA_WHISPER="").returncode == 0
    assert weights("there", tmp_path, OCTAVIA_OTLP_ENDPOINT="http://127.0.0.1:4318").returncode == 0


def test_the_settings_that_choose_weights_are_settings_and_arguments_of_the_image() -> None:
    script = (CONTAINERS / "weights.sh").read_text(encoding="utf-8")
    choosing = set(re.findall(r"^choosing=\((.*)\)$", script, re.MULTILINE)[0].split())
    elsewhere = {"model_repo", "weights_dir", "hub_timeout_s", "coqui_mirror", "otlp_endpoint"}
    others = {name for name in ServeSettings.model_fields if name.startswith("serve_")} | elsewhere
    assert choosing == {name.upper() for name in set(ServeSettings.model_fields) - others}
    lines = (CONTAINERS / "Containerfile.models").read_text(encoding="utf-8").splitlines()
    arguments = {line.removeprefix("ARG ").removesuffix("=") for line in lines if line.startswith("ARG ")}
    assert {f"OCTAVIA_{name}" for name in choosing} - {"OCTAVIA_WEIGHTS"} <= arguments
    assert "BAKE_WEIGHTS" in arguments


@pytest.mark.parametrize("name", OVERLAYS)
def test_weights_baked_with_an_overlays_settings_are_there_in_its_pods(
    overlay: Callable[[str], Deployed], tmp_path: Path, name: str
) -> None:
    settings = settings_of_models(overlay(name))
    arguments = {name: settings[name] for name in ("OCTAVIA_WEIGHTS", "OCTAVIA_WHISPER") if name in settings}
    assert weights("bake", tmp_path, **arguments).returncode == 0
    assert weights("there", tmp_path, **settings).returncode == 0
    waited = weights("wait", tmp_path, **settings)
    assert (waited.returncode, waited.stdout, waited.stderr) == (0, "", "")


def test_a_pod_that_wants_other_weights_than_were_baked_fails_at_once_and_says_both(
    overlay: Callable[[str], Deployed], tmp_path: Path
) -> None:
    assert weights("bake", tmp_path, OCTAVIA_WEIGHTS="standard").returncode == 0
    waited = weights("wait", tmp_path, **settings_of_models(overlay("gpu")))
    assert waited.returncode == 1
    baked, wanted = waited.stderr.split("wanted are:\n")
    assert baked.splitlines()[1:] == ["    OCTAVIA_WEIGHTS=standard"]
    assert wanted.splitlines()[:2] == [
        "    OCTAVIA_WEIGHTS=standard",
        "    OCTAVIA_WHISPER=faster-whisper-large-v3-turbo",
    ]
    assert "Build the image with these as its arguments" in wanted


def settings_of_models(deployed: Deployed) -> dict[str, str]:
    """What the pods of the models are given, but for where things lie in the image."""
    (head,) = [pod for pod in deployed.pods if pod.kind == "RayService" and pod.name == "head"]
    given = deployed.config(head.spec["initContainers"][0])
    return {
        name: value
        for name, value in given.items()
        if name.startswith("OCTAVIA_") and name not in ("OCTAVIA_WEIGHTS_DIR", "OCTAVIA_MODEL_REPO")
    }


def test_a_script_that_is_misused_says_how_it_is_used(tmp_path: Path) -> None:
    said = weights("push", tmp_path)
    assert (said.returncode, said.stderr) == (2, "containers/weights.sh pull|keep|bake|there|wait\n")
    done = subprocess.run(
        [CONTAINERS / "install.sh", "serve", tmp_path / "venv"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "there is no plane 'serve'" in done.stderr) == (2, True)


def test_a_node_that_cannot_be_drained_may_stop_all_the_same(tmp_path: Path) -> None:
    variables = {"PATH": os.environ["PATH"], "OCTAVIA_PYTHON": "/bin/false"}
    done = subprocess.run(
        [CONTAINERS / "drain_node.sh", "1"], env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "The node was not drained.\n")


@pytest.mark.soak
def test_the_control_planes_image_imports_everything_it_runs_without_the_model_plane(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([CONTAINERS / "install.sh", "control", venv, sys.executable], check=True)
    program = (
        "import sys, orchestrator.app, orchestrator.jobs.worker, orchestrator.cli, orchestrator.migrations.__main__\n"
        "assert orchestrator.app.__file__.startswith(sys.prefix)\n"
        "orchestrator.app.create_app(orchestrator.app.Settings())\n"
        "print(sorted({'torch', 'ray', 'serve', 'transformers'} & set(sys.modules)))"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    python = venv / "bin" / "python"
    done = subprocess.run(
        [python, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
    installed = {path.name for path in (venv / "lib" / "python3.11" / "site-packages").iterdir()}
    assert not installed & {"torch", "ray", "serve"}
    assert "orchestrator" in installed
