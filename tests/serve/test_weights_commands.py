"""octavia models: what each command does to a weights folder, and what it says."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve import weights_pull
from serve.catalogue import load_catalogue
from serve.settings import CHECKOUT, ServeSettings
from serve.weights import ensure, folder_name
from serve.weights_cli import main
from tests.standins.hub import COMMIT, File, Hub

ENTRY = """[[weights]]
name = "{name}"
model = "whisper"
sets = ["{which}"]
source = "{source}"
convert = "join"
languages = ["en"]
licence = "{licence}"
licence_chain = ["{licence}: all of it"]
paid_use = {paid}
attribution = "{name} by somebody"
"""


class Place:
    """A model repository of four entries and an empty weights folder."""

    def __init__(self, root: Path, hub: Hub) -> None:
        self.hub, self.repo, self.weights = hub, root / "repo", root / "weights"
        for name in ("a", "b"):
            (self.repo / name).mkdir(parents=True)
            (self.repo / name / "model.bin").write_bytes(name.encode() * 1000)
        hub.repos["o/r"] = {"model.bin": File(b"h" * 500, lfs=True)}
        values = {"which": "starter", "licence": "MIT", "paid": "true"}
        entries = [
            {"name": "a", "source": "file:a"},
            {"name": "b", "source": "file:b", "licence": "CC-BY-NC-4.0", "paid": "false"},
            {"name": "h", "source": "hf:o/r@main", "which": "standard"},
            {"name": "pinned", "source": f"hf:o/r@{COMMIT}", "which": "standard"},
        ]
        (self.repo / "catalogue.toml").write_text("\n".join(ENTRY.format(**values | each) for each in entries))

    def settings(self, **values: object) -> ServeSettings:
        mine = {"weights": "starter", "weights_dir": self.weights, "model_repo": self.repo}
        return ServeSettings.model_validate(mine | values)

    def folder(self, name: str) -> Path:
        return self.weights / folder_name(load_catalogue(self.repo / "catalogue.toml").get(name))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with Hub() as hub:
        made = Place(tmp_path, hub)
        for name in ("BILLING", "ALLOW_WEIGHTS", "WHISPER", "LANGUAGES"):
            monkeypatch.delenv(f"OCTAVIA_{name}", raising=False)
        monkeypatch.setenv("OCTAVIA_WEIGHTS", "starter")
        monkeypatch.setenv("OCTAVIA_WEIGHTS_DIR", str(made.weights))
        monkeypatch.setenv("OCTAVIA_MODEL_REPO", str(made.repo))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield made


Run = Callable[..., tuple[int | str | None, list[str], str]]


@pytest.fixture
def run(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """run(argument, …) -> exit status or last message, lines of standard output, standard error."""
    monkeypatch.setattr("serve.weights_cli.prepare_environment", lambda: None)

    def call(*arguments: str) -> tuple[int | str | None, list[str], str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return ended.value.code, out.splitlines(), err

    return call


# ---- pull


def test_pull_says_what_there_is_to_fetch_and_prints_name_and_folder(place: Place, run: Run) -> None:
    code, out, err = run("pull")
    assert (code, out) == (0, [f"a\t{place.folder('a')}", f"b\t{place.folder('b')}"])
    assert err.startswith(f"2 of 2 to fetch: 0.0 MB, into {place.weights} (")
    assert run("pull") == (0, out, "")


def test_a_dry_run_shows_sizes_and_fetches_nothing(place: Place, run: Run) -> None:
    run("pull", "a")
    code, out, _ = run("pull", "a", "h", "--dry-run")
    assert (code, [line.split() for line in out]) == (
        0,
        [["NAME", "WHAT", "DOWNLOAD"], ["a", "here", "-"], ["h", "fetch", "0.0", "MB"]],
    )
    assert place.hub.count("GET", "model.bin") == 0
    assert not place.folder("h").exists()


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_pull, "free_bytes", lambda _: 700)
    code, _, _ = run("pull", "h")
    assert str(code).startswith(
        f"octavia: fetching h needs about 0 MB, and the disk with {place.weights} has 0 MB free"
    )
    assert place.hub.count("GET", "model.bin") == 0


def test_a_branch_that_has_moved_is_said_and_taken_only_with_update_and_a_pinned_commit_stays(
    place: Place, run: Run
) -> None:
    run("pull", "h", "pinned")
    place.hub.commit, place.hub.repos["o/r"]["model.bin"] = "d" * 40, File(b"new" * 99, lfs=True)
    code, _, err = run("pull", "h", "pinned")
    assert code == 0
    assert err == "h: is at c0ffee000000, its source at dddddddddddd by now: --update takes that\n"
    assert (place.folder("h") / "model.bin").read_bytes() == b"h" * 500
    assert run("pull", "--update", "h", "pinned")[0] == 0
    assert (place.folder("h") / "model.bin").read_bytes() == b"new" * 99
    assert (place.folder("pinned") / "model.bin").read_bytes() == b"h" * 500
    assert json.loads((place.folder("h") / "weights.json").read_text())["revisions"] == {"hf:o/r@main": "d" * 40}


def test_what_is_here_can_be_pulled_while_the_hub_is_away_but_not_updated(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pull", "h")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("serve.sources.pace.FIRST_WAIT_S", 0.01)
    code, out, err = run("pull", "h")
    assert (code, out) == (0, [f"h\t{place.folder('h')}"])
    assert "h: its hub was not asked for a newer revision" in err
    assert "check the network" in str(run("pull", "h", "--update")[0])


# ---- verify


def test_weights_that_are_whole_are_good(run: Run) -> None:
    run("pull", "a", "b")
    assert run("verify") == (0, ["a: good", "b: good"], "2 checked, 0 wrong\n")


def spoil(folder: Path) -> None:
    (folder / "model.bin").unlink()


def change(folder: Path) -> None:
    content = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(content[:-1] + b"!")


def cut(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"aa")


def add(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "extra.bin").write_bytes(b"x")


def forget(folder: Path) -> None:
    (folder / "weights.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (spoil, "model.bin is missing"),
        (change, "model.bin has changed"),
        (cut, "model.bin has 2 bytes in place of 1000"),
        (add, "more/extra.bin is extra"),
        (forget, "weights.json is missing or cannot be read"),
    ],
)
def test_damage_is_said_with_the_command_that_repairs_it_and_that_command_does(
    place: Place, run: Run, damage: Callable[[Path], None], complaint: str
) -> None:
    run("pull", "a")
    damage(place.folder("a"))
    code, out, _ = run("verify")
    assert (code, out) == (1, [f"a: {complaint}", f"  {place.folder('a')}", "  → octavia models pull a"])
    assert run("pull", "a")[0] == 0
    assert run("verify", "a")[0] == 0
    assert sorted(path.name for path in place.folder("a").iterdir()) == ["model.bin", "weights.json"]


def test_a_plane_that_starts_makes_a_folder_anew_that_lacks_a_file(place: Place) -> None:
    item = load_catalogue(place.repo / "catalogue.toml").get("a")
    spoil(ensure(item, place.settings()).folder)
    assert (ensure(item, place.settings()).folder / "model.bin").read_bytes() == b"a" * 1000


def test_weights_that_differ_from_the_catalogue_are_wrong_though_their_record_agrees(place: Place, run: Run) -> None:
    run("pull", "a")
    record = place.folder("a") / "weights.json"
    path = place.repo / "catalogue.toml"
    stated = path.read_text().replace('name = "a"', 'name = "a"\nsha256 = { "model.bin" = "' + "0" * 64 + '" }')
    path.write_text(stated)
    record.parent.rename(place.folder("a"))
    assert run("verify", "a")[1][0] == "a: model.bin is not what the catalogue states"


def test_what_is_unfinished_or_not_there_is_wrong(place: Place, run: Run) -> None:
    (place.weights / ".work" / place.folder("a").name).mkdir(parents=True)
    code, out, _ = run("verify", "a", "b")
    assert code == 1
    assert out[:2] == ["b: not on this machine", "  → octavia models pull b"]
    assert out[2] == "a: unfinished"
    assert "octavia models pull a finishes it" in out[4]
    assert "no weights named 'nobody'" in str(run("verify", "nobody")[0])


# ---- remove


def test_remove_takes_the_set_its_older_makings_and_what_was_begun_and_says_what_that_freed(
    place: Place, run: Run
) -> None:
    run("pull", "a", "b")
    older, begun = place.weights / "a-0123456789", place.weights / ".work" / "a-9876543210"
    for folder in (older, begun):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 100)
    size = sum(path.stat().st_size for path in place.folder("a").iterdir())
    code, out, err = run("remove", "a", "--yes")
    assert (code, len(out)) == (0, 3)
    assert err.endswith(f"({size + 200} bytes)\n")
    assert not any(path.exists() for path in (older, begun, place.folder("a")))
    assert place.folder("b").exists()
    assert "a is not on this machine" in str(run("remove", "a", "--yes")[0])


def test_nothing_is_removed_without_a_yes(place: Place, run: Run) -> None:
    run("pull", "a")
    code, _, err = run("remove", "a")
    assert code == 1
    assert "no terminal to ask on; add --yes" in err
    assert place.folder("a").exists()


@pytest.mark.parametrize(("answer", "there"), [("n", True), ("", True), ("y", False)])
def test_on_a_terminal_it_asks(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, there: bool
) -> None:
    run("pull", "a")
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        code, _, err = run("remove", "a")
    os.close(ours)
    assert "Remove these 1, 0.0 MB? [y/N]" in err
    assert (place.folder("a").exists(), code) == (there, 1 if there else 0)


def test_unused_is_what_these_settings_would_not_load_and_unfinished_what_nobody_works_on(
    place: Place, run: Run
) -> None:
    run("pull", "a", "b", "h")
    for name in ("a-0123456789", "gone-0123456789", ".work/b-0123456789"):
        (place.weights / name).mkdir(parents=True)
    assert [line.split("\t")[0] for line in run("remove", "--unused", "--yes")[1]] == ["a", "gone", "h"]
    assert [line.split("\t")[0] for line in run("remove", "--unfinished", "--yes")[1]] == ["b"]
    assert run("remove", "--unused", "--unfinished", "--yes") == (0, [], "there is nothing to remove\n")
    assert place.folder("a").exists()
    assert place.folder("b").exists()


def test_with_the_set_chosen_by_whether_a_hub_answers_neither_set_is_unused(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pull", "a", "h")
    monkeypatch.setenv("OCTAVIA_WEIGHTS", "auto")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert run("remove", "--unused", "--yes")[2] == "there is nothing to remove\n"


def test_weights_in_use_stay_until_their_user_lets_go(place: Place, run: Run) -> None:
    item = load_catalogue(place.repo / "catalogue.toml").get("a")
    held = ensure(item, place.settings())
    code, _, _ = run("remove", "a", "--yes")
    assert str(code).startswith(f"octavia: a is in use by process {os.getpid()}: stop the model plane")
    assert place.folder("a").exists()
    del held
    assert run("remove", "a", "--yes")[0] == 0


def test_a_link_is_removed_and_what_it_leads_to_stays(place: Place, run: Run, tmp_path: Path) -> None:
    run("pull", "a")
    elsewhere = tmp_path / "elsewhere"
    place.folder("a").rename(elsewhere)
    place.folder("a").symlink_to(elsewhere)
    (place.weights / "b-0123456789").mkdir()
    (place.weights / "b-0123456789" / "linked").symlink_to(elsewhere)
    code, _, err = run("remove", "a", "b", "--yes")
    assert code == 0
    assert "a link: what it leads to stays" in err
    assert not place.folder("a").is_symlink()
    assert (elsewhere / "model.bin").exists()


def test_nothing_is_removed_through_a_link_that_leads_out_of_the_weights_folder(
    place: Place, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "outside" / "nl-mine").mkdir(parents=True)
    (tmp_path / "outside" / "a-0123456789").mkdir()
    place.weights.mkdir()
    (place.weights / "imported").symlink_to(tmp_path / "outside")
    (place.weights / ".work").symlink_to(tmp_path / "outside")
    assert "leads out of" in str(run("remove", "nl-mine", "--imported", "--yes")[0])
    assert run("remove", "--unfinished", "--yes")[2] == "there is nothing to remove\n"
    assert len(list((tmp_path / "outside").iterdir())) == 2


def test_an_imported_voice_goes_only_when_that_is_said_and_leaves_the_list_of_voices(place: Place, run: Run) -> None:
    place.weights.mkdir()
    own = place.weights / "catalogue.local.toml"
    voice = ENTRY.replace('"whisper"', '"coqui_tts"').replace('"join"', '"none"')
    values = {"which": "starter", "licence": "MIT", "paid": "true"}
    for name in ("nl-one", "nl-two"):
        (place.weights / "imported" / name).mkdir(parents=True)
        with own.open("a") as file:
            file.write("\n" + voice.format(name=name, source=f"file:imported/{name}", **values))
    assert "cannot be fetched again: add --imported" in str(run("remove", "nl-one", "--yes")[0])
    assert run("remove", "nl-one", "--imported", "--yes")[0] == 0
    assert [item.name for item in load_catalogue(own).entries] == ["nl-two"]
    assert (place.weights / "imported" / "nl-two").exists()
    assert run("remove", "--unused", "--yes")[2] == "there is nothing to remove\n"


# ---- list, licences


def test_list_shows_columns_sizes_and_what_is_refused(place: Place, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pull", "a")
    monkeypatch.setenv("OCTAVIA_BILLING", "true")
    code, out, _ = run("list")
    assert code == 0
    starts = {line.index(word) for line, word in zip(out[1:3], ("here", "refused"), strict=True)}
    assert starts == {out[0].index("STATE")}
    assert out[1].split() == ["a", "whisper", "en", "starter", "MIT", "cleared", "0.0", "MB", "here"]
    (place.weights / ".work" / "b-0123456789").mkdir(parents=True)
    installed = json.loads("\n".join(run("list", "--installed", "--json")[1]))
    assert [(row["name"], row.get("state")) for row in installed] == [("a", None), ("b", "unfinished")]
    assert installed[0]["bytes"] == sum(path.stat().st_size for path in place.folder("a").iterdir())
    assert installed[0]["paid_use"] is True


def test_licences_tell_the_chain_what_billing_refuses_and_why_and_the_text_to_show(
    place: Place, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("pull", "h")
    monkeypatch.setenv("OCTAVIA_BILLING", "true")
    rows = {row["name"]: row for row in json.loads("\n".join(run("licences", "--json")[1]))}
    assert list(rows) == ["a", "b", "h"]
    assert (rows["a"]["selected"], rows["a"]["installed"]) == (True, False)
    assert (rows["h"]["selected"], rows["h"]["installed"]) == (False, True)
    assert rows["a"]["refused_because"] is None
    assert "'CC-BY-NC-4.0: all of it' is non-commercial" in rows["b"]["not_cleared_because"]
    assert "OCTAVIA_ALLOW_WEIGHTS" in rows["b"]["refused_because"]
    text = run("licences")[1]
    assert "  ← CC-BY-NC-4.0: all of it" in text
    assert "Billing is on. Refused: b" in text
    shown = text[text.index("Show this text where people see what your service is made of:") :]
    assert "  a by somebody. Licence: MIT, https://opensource.org/license/mit." in shown
    assert not any("b by somebody" in line for line in shown)


# ---- the program


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "importtime", "-m", "orchestrator.cli", "models", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_octavia_models_hands_every_option_on_and_imports_neither_ray_nor_torch(place: Place) -> None:
    done = program("list", "--installed", "--json", PYTHONPROFILEIMPORTTIME="1")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert "serve.weights_cli" in loaded
    assert not loaded & {"ray", "torch", "transformers", "TTS", "huggingface_hub", "sqlalchemy", "dbos"}


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "complaint"),
    [
        (["pull", "nothing-like-it"], {}, 1, "octavia: the catalogue has no weights named 'nothing-like-it'"),
        (["list"], {"OCTAVIA_BILLING": "perhaps"}, 1, "octavia: the settings are not valid: OCTAVIA_BILLING"),
    ],
)
def test_a_failure_is_one_line(
    place: Place, arguments: list[str], environment: dict[str, str], status: int, complaint: str
) -> None:
    command = [sys.executable, "-m", "serve.weights", *arguments]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


def test_a_command_line_that_cannot_be_meant_is_answered_with_its_usage(run: Run) -> None:
    code, _, err = run("remove")
    assert code == 2
    assert "say what: NAME, --unused or --unfinished" in err
