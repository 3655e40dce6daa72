"""The command `python -m serve.weights`: list, pull, import-piper. `octavia models` runs it."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from serve.settings import ServeSettings
from serve.sources import Progress
from serve.voices import add_voice
from serve.weights import folder_name, in_place, pull, settings_catalogue
from serve.weights_errors import WeightsError


def say(text: str) -> None:
    """One line of output."""
    print(text, flush=True)  # noqa: T201 - a command's output


def terminal_progress() -> Progress | None:
    """A line on standard error that is rewritten; None where nobody is looking."""
    if not sys.stderr.isatty():
        return None

    def show(what: str, done: int, total: int | None) -> None:
        amount = f" {done / 1e6:.0f}" + (f" of {total / 1e6:.0f} MB" if total else " MB") if done > 1 else ""
        sys.stderr.write(f"\r\x1b[K{what}{amount}")
        sys.stderr.write("\r\x1b[K" if what.startswith("ready") else "")
        sys.stderr.flush()

    return show


def show_list(settings: ServeSettings) -> None:
    """Every entry: set, what it does, licence, whether it is on this machine."""
    for entry in settings_catalogue(settings).entries:
        here = in_place(entry) is not None or (settings.weights_dir / folder_name(entry)).exists()
        pair = f"{entry.source_language}→{entry.target_language}"
        does = {"opus_mt": pair, "coqui_tts": entry.language, "align": entry.language}.get(entry.model, "many")
        paid = "paid use" if entry.paid_use else "no paid use"
        sets = ",".join(entry.sets) or "by name"
        fields = (entry.name, entry.model, does, sets, f"{entry.licence} ({paid})", "here" if here else "")
        say("{:32} {:10} {:8} {:17} {:28} {}".format(*fields).rstrip())


def import_voice(options: argparse.Namespace, settings: ServeSettings) -> None:
    """Imports a Piper voice for this machine."""
    entry = add_voice(
        options.onnx,
        options.config,
        weights_dir=settings.weights_dir,
        catalogue=settings.model_repo / "catalogue.toml",
        name=options.name,
        licence=options.licence,
        licence_chain=options.chain,
        language=options.language,
        gender=options.gender,
        paid_use=options.paid_use,
        attribution=options.attribution,
    )
    say(f"{entry.name}\t{in_place(entry)}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="octavia models", description="Model weights.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every set of weights in the catalogue")
    command = commands.add_parser("pull", help="fetch, verify and convert")
    command.add_argument("names", nargs="*", help="catalogue entries; none: the whole set")
    command.add_argument(
        "--set", dest="which", choices=("auto", "starter", "standard"), help="default: OCTAVIA_WEIGHTS"
    )
    command = commands.add_parser("import-piper", help="turn a Piper voice into a Coqui voice")
    command.add_argument("onnx", type=Path, help="VOICE.onnx")
    command.add_argument("config", type=Path, nargs="?", help="VOICE.onnx.json; default: beside the voice")
    command.add_argument("--name", required=True, help="what to call it: small letters, digits, . _ -")
    command.add_argument("--licence", required=True, help="the voice's licence, e.g. CC0-1.0")
    command.add_argument(
        "--chain",
        action="append",
        required=True,
        help="licence of its data, then of each voice it was tuned from (repeat)",
    )
    command.add_argument("--language", help="default: as its configuration says")
    command.add_argument("--gender", choices=("female", "male", "unknown"), default="unknown")
    command.add_argument("--paid-use", action="store_true", help="its whole chain is cleared for paid use")
    command.add_argument("--attribution", default="")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command; a failure is one line on standard error and exit code 1."""
    options = parse(arguments)
    settings = ServeSettings()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        if options.command == "list":
            show_list(settings)
        elif options.command == "import-piper":
            import_voice(options, settings)
        else:
            if options.which:
                settings = settings.model_copy(update={"weights": options.which})
            for weights in pull(settings, options.names, progress=terminal_progress()):
                say(f"{weights.name}\t{weights.folder}")
    except WeightsError as error:
        sys.exit(f"octavia: {error}")
