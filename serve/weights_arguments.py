"""The options of `octavia models`."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with status 2 and a line of usage when it cannot be meant."""
    parser = argparse.ArgumentParser(prog="octavia models", description="Model weights.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_list(commands.add_parser("list", help="every set of weights in the catalogue"))
    add_licences(commands.add_parser("licences", help="what everything is licensed under, and the text to show"))
    add_pull(commands.add_parser("pull", help="fetch, verify and convert; repairs what verify finds damaged"))
    command = commands.add_parser("verify", help="read everything through and compare it with its hashes")
    command.add_argument("names", nargs="*", metavar="NAME", help="none: all that is on this machine")
    remove = commands.add_parser("remove", help="delete weights from this machine")
    add_remove(remove)
    add_import(commands.add_parser("import-piper", help="turn a Piper voice into a Coqui voice"))
    options = parser.parse_args(arguments)
    if options.command == "remove" and not (options.names or options.unused or options.unfinished):
        remove.error("say what: NAME, --unused or --unfinished")
    return options


def add_list(command: argparse.ArgumentParser) -> None:
    """list"""
    command.add_argument("--installed", action="store_true", help="only what is on this machine, unfinished work too")
    command.add_argument("--json", action="store_true")


def add_licences(command: argparse.ArgumentParser) -> None:
    """licences"""
    command.add_argument("--all", action="store_true", help="of the whole catalogue, not only what is here or selected")
    command.add_argument("--json", action="store_true")


def add_pull(command: argparse.ArgumentParser) -> None:
    """pull"""
    command.add_argument("names", nargs="*", metavar="NAME", help="entries of the catalogue; none: the whole set")
    command.add_argument(
        "--set", dest="which", choices=("auto", "starter", "standard"), help="default: OCTAVIA_WEIGHTS"
    )
    command.add_argument("--update", action="store_true", help="take the newer revision where a hub's branch has moved")
    command.add_argument("--dry-run", action="store_true", help="say what would be fetched, and fetch nothing")


def add_remove(command: argparse.ArgumentParser) -> None:
    """remove"""
    command.add_argument("names", nargs="*", metavar="NAME", help="with what older recipes and broken downloads left")
    command.add_argument("--unused", action="store_true", help="whatever these settings would not load")
    command.add_argument("--unfinished", action="store_true", help="downloads that were begun and not ended")
    command.add_argument("--imported", action="store_true", help="NAME may be a voice imported here, gone for good")
    command.add_argument("--yes", "-y", action="store_true", help="do not ask")


def add_import(command: argparse.ArgumentParser) -> None:
    """import-piper"""
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
