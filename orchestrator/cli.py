"""The command line: `octavia up`, `octavia dub`, `octavia subtitles`, `octavia models`, `octavia users`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from orchestrator.errors import OctaviaError
from orchestrator.local import show
from orchestrator.local.client import Client
from orchestrator.local.up import find_running, up
from orchestrator.logs import configure_logging
from orchestrator.media.probe import probe
from orchestrator.settings import get_settings

app = typer.Typer(help="Octavia dubs and subtitles videos and audio.", no_args_is_help=True, add_completion=False)
models_app = typer.Typer(help="Weights of the models.", no_args_is_help=True)
users_app = typer.Typer(help="User accounts.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(users_app, name="users")

console = Console()
errors = Console(stderr=True)

SourceFile = Annotated[Path, typer.Argument(help="A video or audio file.", exists=True, dir_okay=False, readable=True)]
Language = Annotated[str | None, typer.Option("--from", help="Language spoken in the file; detected when left out.")]
OutputFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]


@app.command("up")
def up_command() -> None:
    """Run everything on this machine until Ctrl-C: database, models, API and worker."""
    _run(_up())


@app.command()
def dub(
    file: SourceFile,
    to: Annotated[str, typer.Option("--to", help="Language to dub into, e.g. es.")],
    source: Language = None,
    voice: Annotated[str | None, typer.Option(help="Voice to speak with; see `octavia models list`.")] = None,
    out: OutputFolder = Path("out"),
) -> None:
    """Dub a video or an audio file into another language."""
    _run(_dub(file, to, source, voice, out))


@app.command()
def subtitles(
    file: SourceFile,
    format: Annotated[str, typer.Option("--format", help="srt or vtt.")] = "srt",  # noqa: A002
    to: Annotated[str | None, typer.Option("--to", help="Also translate into this language.")] = None,
    source: Language = None,
    out: OutputFolder = Path("out"),
) -> None:
    """Write subtitles for a video or an audio file."""
    if format not in ("srt", "vtt"):
        raise typer.BadParameter(f"'{format}' is not a subtitle format here: choose srt or vtt", param_hint="--format")
    _run(_subtitles(file, format, to, source, out))


@models_app.command("list")
def models_list() -> None:
    """Every set of weights in the catalogue: languages, licence, and whether it is on this machine."""
    _model_plane("list")


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Entries of the catalogue; left out: a whole set.")] = None,
    which: Annotated[str, typer.Option("--set", help="starter, standard, or auto.")] = "auto",
) -> None:
    """Fetch, verify and convert weights."""
    _model_plane("pull", "--set", which, *(names or []))


@models_app.command("import-piper", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def models_import_piper(context: typer.Context) -> None:
    """Turn a Piper voice (ONNX) into a Coqui voice: VOICE.onnx [VOICE.onnx.json] --name NAME --licence LICENCE …"""
    _model_plane("import-piper", *context.args)


@users_app.command("create")
def users_create(
    email: Annotated[str, typer.Option(prompt=True)],
    name: Annotated[str, typer.Option(prompt=True)],
    password: Annotated[str, typer.Option(prompt=True, confirmation_prompt=True, hide_input=True)],
) -> None:
    """Create a user who can log in, in the database of OCTAVIA_DATABASE_URL or of the running `octavia up`."""
    _run(_create_user(email, name, password))


def main() -> None:
    app()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; known errors are told in one line, with exit code 1."""
    try:
        asyncio.run(work)
    except OctaviaError as error:
        errors.print(f"[red]Error:[/red] {error.message}", soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _model_plane(*arguments: str) -> None:
    """The model plane's own command line, in its own process: the planes share nothing but the protocol."""
    raise SystemExit(subprocess.run([sys.executable, "-m", "serve.weights", *arguments], check=False).returncode)


async def _up() -> None:
    settings = get_settings()
    configure_logging(settings)
    async with up(settings, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address:
        console.print(f"Octavia is up at [bold]{address.api_url}[/bold] (API documentation: {address.api_url}/docs)")
        console.print(f"Token of the local user: {settings.data_dir / 'token'}.  Ctrl-C stops everything.")
        await asyncio.Event().wait()


@asynccontextmanager
async def _system() -> AsyncIterator[Client]:
    """A client of the running `up`, or of a private one that lives as long as the command."""
    settings = get_settings()
    async with AsyncExitStack() as stack:
        address = find_running(settings)
        if address is None:
            status = stack.enter_context(console.status("Starting Octavia …"))
            address = await stack.enter_async_context(
                up(settings, private=True, say=lambda part: status.update(f"Starting Octavia: {part} …"))
            )
            status.stop()
        yield await stack.enter_async_context(Client(address.api_url, address.token))


async def _dub(file: Path, to: str, source: str | None, voice: str | None, out: Path) -> None:
    kind = "video_translation" if (await probe(file)).video else "audio_translation"
    request: dict[str, Any] = {"kind": kind, "target_languages": [to]}
    if voice:
        request["options"] = {"voice": voice}
    async with _system() as client:
        await _work(client, file, request, source, out, tuple(show.BARS))


async def _subtitles(file: Path, wanted: str, to: str | None, source: str | None, out: Path) -> None:
    request = {"kind": "subtitles", "target_languages": [to] if to else []}
    stages = tuple(stage for stage in show.BARS if stage not in ({"synthesizing"} | (set() if to else {"translating"})))
    async with _system() as client:
        await _work(client, file, request, source, out, stages, suffixes={f".{wanted}"})


async def _work(
    client: Client,
    file: Path,
    request: dict[str, Any],
    source: str | None,
    out: Path,
    stages: tuple[str, ...],
    suffixes: set[str] | None = None,
) -> None:
    """Upload, run the job under a bar per stage, and fetch its artifacts (of the given suffixes, if any)."""
    with show.StageBars(console, stages) as bars:
        size, sent = file.stat().st_size, 0

        def uploaded(count: int) -> None:
            nonlocal sent
            sent += count
            bars.update("uploading", sent, size, note=f"{sent / 2**20:.1f} MiB")

        media = await client.upload(file, uploaded)
        job = await client.start({**request, "media_id": media["id"], "source_language": source})
        try:
            async for event in client.follow(job["id"]):
                bars.counts(event.get("counts", {}))
        except asyncio.CancelledError:
            await client.cancel(job["id"])
            raise
    job = await client.job(job["id"])
    if job["status"] != "completed":
        reason = job["error"] or {"code": "cancelled", "message": "The job was cancelled."}
        raise OctaviaError(reason["code"], reason["message"], 422)
    files = await _fetch(client, job, file.stem, out, suffixes)
    reports = [json.loads(path.read_text()) for name, path in files.items() if name.startswith("quality")]
    show.results(console, files, reports, job)


async def _fetch(
    client: Client, job: dict[str, Any], stem: str, out: Path, suffixes: set[str] | None
) -> dict[str, Path]:
    out.mkdir(parents=True, exist_ok=True)
    chosen = [each["name"] for each in job["artifacts"] if suffixes is None or Path(each["name"]).suffix in suffixes]
    return {name: await client.download(job["id"], name, out / f"{stem}.{name}") for name in chosen}


async def _create_user(email: str, name: str, password: str) -> None:
    from orchestrator.accounts.commands import create  # noqa: PLC0415  (keeps `octavia --help` free of the database)

    user = await create(get_settings(), email=email, name=name, password=password)
    console.print(f"Created {user.email} ({user.id}).")


if __name__ == "__main__":
    main()
