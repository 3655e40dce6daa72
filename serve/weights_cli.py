"""The command `python -m serve.weights`, which `octavia models` runs.

Results go to standard output, everything else to standard error. Exit status: 0, 1 where something is wrong, 2 for a
command line that cannot be meant.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from serve.environment import prepare_environment
from serve.settings import ServeSettings
from serve.sources import Progress
from serve.weights import in_place
from serve.weights_arguments import parse
from serve.weights_errors import WeightsError
from serve.weights_inventory import Found
from serve.weights_pull import Step, carry_out, check_space, free_bytes, plan
from serve.weights_remove import check_free, of_names, remove, unfinished, unused
from serve.weights_tables import columns, licence_lines, licences, list_lines, listed, megabytes
from serve.weights_verify import verify


def say(*lines: str) -> None:
    """Lines of output."""
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a command's output


def tell(line: str) -> None:
    """A line for whoever is watching, which is no result."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


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


def run_list(options: argparse.Namespace, settings: ServeSettings) -> int:
    """Every entry: what it does, licence, whether it is on this machine."""
    rows = listed(settings, installed=options.installed)
    if options.json:
        say(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        say(*list_lines(rows))
    else:
        tell(f"nothing is in {settings.weights_dir}: octavia models pull fetches the whole set")
    return 0


def run_licences(options: argparse.Namespace, settings: ServeSettings) -> int:
    """What everything is licensed under, and the text to show."""
    rows = licences(settings, everything=options.all)
    say(json.dumps(rows, indent=2, ensure_ascii=False)) if options.json else say(*licence_lines(rows, settings))
    return 0


def run_pull(options: argparse.Namespace, settings: ServeSettings) -> int:
    """Fetches what is not here, having said how much that is."""
    chosen = settings.model_copy(update={"weights": options.which}) if options.which else settings
    steps = plan(chosen, options.names, update=options.update)
    announce(steps, chosen)
    if options.dry_run:
        rows = [(each.entry.name, each.why, megabytes(each.bytes) if each.why != "here" else "-") for each in steps]
        say(*columns(("NAME", "WHAT", "DOWNLOAD"), rows))
    check_space(steps, chosen.weights_dir)
    if not options.dry_run:
        for weights in carry_out(steps, chosen, terminal_progress()):
            say(f"{weights.name}\t{weights.folder}")
    return 0


def announce(steps: Sequence[Step], settings: ServeSettings) -> None:
    """Says what is to be done and how much there is to download; nothing where there is nothing to do or to remark."""
    for each in steps:
        if each.remark:
            tell(f"{each.entry.name}: {'damaged: ' if each.why == 'repair' else ''}{each.remark}")
    busy = [each for each in steps if each.why != "here"]
    if not busy:
        return
    unknown = sum(each.bytes is None for each in busy)
    more = f" and {unknown} whose size its source does not say" if unknown else ""
    total, free = sum(each.bytes or 0 for each in busy), free_bytes(settings.weights_dir)
    tell(
        f"{len(busy)} of {len(steps)} to fetch: {megabytes(total)}{more}, into {settings.weights_dir} "
        f"({megabytes(free)} free)"
    )


def run_verify(options: argparse.Namespace, settings: ServeSettings) -> int:
    """Reads everything through; 1 when anything is wrong."""
    count = wrong = 0
    for each in verify(settings, options.names):
        count += 1
        wrong += bool(each.faults)
        remark = f" ({each.remark})" if each.remark and not each.faults else ""
        say(f"{each.name}: {'; '.join(each.faults) or 'good'}{remark}")
        if each.faults:
            say(*([f"  {each.place}"] if each.place else []), f"  → {each.remark}")
    tell(f"{count} checked, {wrong} wrong" if count else f"nothing is in {settings.weights_dir}")
    return 1 if wrong else 0


def run_remove(options: argparse.Namespace, settings: ServeSettings) -> int:
    """Removes what was named or is of no use, having asked."""
    chosen: list[Found] = of_names(options.names, settings, imported=options.imported)
    chosen += unused(settings) if options.unused else []
    chosen += unfinished(settings) if options.unfinished else []
    chosen = list({each.folder: each for each in chosen}.values())
    if not chosen:
        tell("there is nothing to remove")
        return 0
    check_free(chosen)
    for each in chosen:
        link = " (a link: what it leads to stays)" if each.folder.is_symlink() else ""
        tell(f"{each.name}  {megabytes(each.bytes)}  {each.folder}{link}")
    total = sum(each.bytes for each in chosen)
    if not options.yes and not confirmed(f"Remove these {len(chosen)}, {megabytes(total)}?"):
        return 1
    for each in chosen:
        remove(each, settings)
        say(f"{each.name}\t{each.bytes}")
    tell(f"freed {megabytes(total)} ({total} bytes)")
    return 0


def confirmed(question: str) -> bool:
    """Whether the person at the terminal agrees. Where there is none, nobody does."""
    if not sys.stdin.isatty():
        tell("nothing was removed: there is no terminal to ask on; add --yes")
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    tell("nothing was removed")
    return False


def run_import(options: argparse.Namespace, settings: ServeSettings) -> int:
    """Imports a Piper voice for this machine."""
    from serve.voices import add_voice  # noqa: PLC0415 - imports torch

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
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace, ServeSettings], int]] = {
    "list": run_list,
    "licences": run_licences,
    "pull": run_pull,
    "verify": run_verify,
    "remove": run_remove,
    "import-piper": run_import,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status; a failure is one line on standard error."""
    options = parse(arguments)
    prepare_environment()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        sys.exit(COMMANDS[options.command](options, ServeSettings()))
    except WeightsError as error:
        sys.exit(f"octavia: {error}")
    except ValidationError as error:
        wrong = "; ".join(f"OCTAVIA_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        sys.exit(f"octavia: the settings are not valid: {wrong}")
    except BrokenPipeError:  # of `octavia models list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        tell("\noctavia: stopped; files that have arrived are kept")
        sys.exit(130)
