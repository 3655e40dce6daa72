"""The command line: `octavia up`, `octavia dub`, `octavia subtitles`, `octavia translate-subtitles`,
`octavia speak-subtitles`, `octavia models`, `octavia users`, `octavia billing`, `octavia doctor`.

What only some commands need is imported by them, so that the others are quick.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Never
from uuid import UUID

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from orchestrator.errors import OctaviaError
from orchestrator.settings import get_settings

if TYPE_CHECKING:
    from orchestrator.local.client import Client
    from orchestrator.local.job import Wish

app = typer.Typer(help="Octavia dubs and subtitles videos and audio.", no_args_is_help=True, add_completion=False)
models_app = typer.Typer(help="Weights of the models.", no_args_is_help=True)
users_app = typer.Typer(help="User accounts.", no_args_is_help=True)
credits_app = typer.Typer(help="Credits of the users.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(users_app, name="users")
billing_app = typer.Typer(help="Purchases, and Polar's books against ours.", no_args_is_help=True)
app.add_typer(billing_app, name="billing")
app.add_typer(credits_app, name="credits")

console = Console()
errors = Console(stderr=True)

SourceFile = Annotated[Path, typer.Argument(help="A video or audio file.", exists=True, dir_okay=False, readable=True)]
SubtitleFile = Annotated[
    Path,
    typer.Argument(
        help="A subtitle file: srt, vtt, ass, ssa, our json, or a txt.", exists=True, dir_okay=False, readable=True
    ),
]
TextLanguage = Annotated[
    str | None, typer.Option("--from", help="Language of the file; told by its text when left out.")
]
VoiceName = Annotated[str | None, typer.Option(help="Voice to speak with; see `octavia models list`.")]
SoundFormat = Annotated[
    str | None, typer.Option("--format", help="Of a sound file: mp3 (when left out), wav, ogg, opus, flac or m4a.")
]
MixName = Annotated[
    str | None,
    typer.Option(help="replace (when left out), voice-over or keep-background: what becomes of the original's sound."),
]
Gender = Annotated[str | None, typer.Option(help="female or male, of the voice, where there is a choice.")]
SpeakerCount = Annotated[int | None, typer.Option(help="How many people speak, where speakers are told apart.")]
CloneVoices = Annotated[bool, typer.Option("--clone-voices", help="Speak in the speakers' own voices.")]
CloningConsent = Annotated[
    bool, typer.Option("--cloning-consent", help="I state that everybody whose voice is cloned has agreed to it.")
]
ReadBack = Annotated[
    bool | None,
    typer.Option(
        "--read-back/--no-read-back", help="Have Whisper hear all of the speech made, or none; else a sample."
    ),
]
LoudnessTarget = Annotated[int | None, typer.Option(help="Of the dub in LUFS: -16 (when left out), -23 or -14.")]
Language = Annotated[str | None, typer.Option("--from", help="Language spoken in the file; detected when left out.")]
Profile = Annotated[
    str | None,
    typer.Option("--subtitle-profile", help="Rules of the subtitles: plain (when left out), netflix, bbc or ted."),
]
Email = Annotated[str, typer.Argument(help="The account's e-mail address.")]
SHOWN = ("id", "email", "name", "status", "role", "language", "time_zone", "created_at", "verified_at")

OutputFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]


@app.command("up")
def up_command(
    polar_standin: Annotated[
        bool, typer.Option("--polar-standin", help="Sell credits through a stand-in for Polar.sh, for development.")
    ] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: database, models, API and worker."""
    _run(_up(polar_standin))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: the checks with their findings.")] = False,
    only: Annotated[list[str] | None, typer.Option("--only", help="This check alone; may be repeated.")] = None,
) -> None:
    """Look at a deployment and say what to fix. Exit code 1 where something is broken."""
    from orchestrator.doctor.show import show  # noqa: PLC0415

    async def examine() -> None:
        if await show(get_settings(), console, as_json=as_json, only=only or []):
            raise SystemExit(1)

    _run(examine())


@app.command()
def dub(
    file: SourceFile,
    to: Annotated[str, typer.Option("--to", help="Language to dub into, e.g. es.")],
    source: Language = None,
    voice: VoiceName = None,
    format: SoundFormat = None,  # noqa: A002
    mix: MixName = None,
    loudness: LoudnessTarget = None,
    profile: Profile = None,
    burn_in: Annotated[bool, typer.Option("--burn-in", help="Paint the subtitles into the picture.")] = False,
    gender: Gender = None,
    speakers: SpeakerCount = None,
    clone_voices: CloneVoices = False,
    cloning_consent: CloningConsent = False,
    read_back: ReadBack = None,
    out: OutputFolder = Path("out"),
) -> None:
    """Dub a video or an audio file into another language."""
    from orchestrator.local.job import Wish  # noqa: PLC0415

    chosen = mix.replace("-", "_") if mix else None
    options = {"voice": voice, "format": format, "mix": chosen, "loudness": loudness}
    options |= {"subtitle_profile": profile, "burn_in": burn_in or None}
    options |= {"gender": gender, "speakers": speakers}
    options |= {"clone_voices": clone_voices or None, "cloning_consent": cloning_consent or None}
    options |= {"read_back": read_back}
    _run(_perform(Wish(file, out, to=to, source=source, options=options)))


@app.command()
def subtitles(
    file: SourceFile,
    format: Annotated[str, typer.Option("--format", help="srt, vtt, ass, txt or json.")] = "srt",  # noqa: A002
    to: Annotated[str | None, typer.Option("--to", help="Also translate into this language.")] = None,
    source: Language = None,
    profile: Profile = None,
    words: Annotated[bool, typer.Option("--word-timing", help="Give each word in vtt its time.")] = False,
    out: OutputFolder = Path("out"),
) -> None:
    """Write subtitles for a video or an audio file."""
    if format not in ("srt", "vtt", "ass", "txt", "json"):
        message = f"'{format}' is not a subtitle format here: choose srt, vtt, ass, txt or json"
        raise typer.BadParameter(message, param_hint="--format")
    from orchestrator.local.job import Wish  # noqa: PLC0415

    options = {"formats": [format], "subtitle_profile": profile, "word_timing": words or None}
    _run(_perform(Wish(file, out, "subtitles", to, source, options, suffixes=frozenset({f".{format}"}))))


@app.command("translate-subtitles")
def translate_subtitles(
    file: SubtitleFile,
    to: Annotated[str, typer.Option("--to", help="Language to translate into, e.g. es.")],
    source: TextLanguage = None,
    out: OutputFolder = Path("out"),
) -> None:
    """Translate a subtitle file; timing, tags and format stay."""
    from orchestrator.local.job import Wish  # noqa: PLC0415

    _run(_perform(Wish(file, out, "subtitle_translation", to, source)))


@app.command("speak-subtitles")
def speak_subtitles(
    file: SubtitleFile,
    to: Annotated[str | None, typer.Option("--to", help="Translate into this language first.")] = None,
    source: TextLanguage = None,
    voice: VoiceName = None,
    format: SoundFormat = None,  # noqa: A002
    loudness: LoudnessTarget = None,
    gender: Gender = None,
    read_back: ReadBack = None,
    out: OutputFolder = Path("out"),
) -> None:
    """Read a subtitle file aloud, each cue at its time."""
    from orchestrator.local.job import Wish  # noqa: PLC0415

    options = {"voice": voice, "format": format, "loudness": loudness, "gender": gender}
    options |= {"read_back": read_back}
    _run(_perform(Wish(file, out, "subtitle_to_audio", to, source, options)))


def _models_command(name: str, help: str) -> None:  # noqa: A002 - typer names it so
    """A command of `octavia models`: every argument, --help too, goes on to the model plane, which has the options."""

    @models_app.command(
        name,
        help=help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def command(context: typer.Context) -> None:
        _model_plane(name, *context.args)


for _name, _help in {
    "list": "Every set of weights in the catalogue: languages, licence, and whether it is on this machine.",
    "pull": "Fetch, verify and convert weights: NAME …, or a whole set.",
    "verify": "Read weights through and compare them with their hashes.",
    "remove": "Delete weights from this machine: NAME …, --unused, --unfinished.",
    "licences": "What everything is licensed under, and the text to show.",
    "import-piper": "Turn a Piper voice (ONNX) into a Coqui voice: VOICE.onnx --name NAME --licence LICENCE …",
}.items():
    _models_command(_name, _help)


@users_app.command("create")
def users_create(
    email: Annotated[str | None, typer.Option(help="Asked for when left out, like name and password.")] = None,
    name: Annotated[str | None, typer.Option()] = None,
    password: Annotated[str | None, typer.Option()] = None,
    admin: Annotated[bool, typer.Option("--admin", help="With the role of an administrator.")] = False,
) -> None:
    """Create a user who can log in, in the database of OCTAVIA_DATABASE_URL or of the running `octavia up`."""
    from orchestrator.accounts import commands  # noqa: PLC0415  (keeps `octavia --help` free of the database)

    with _told_plainly():
        commands.database_url(get_settings())  # before anything is asked
    email = email or typer.prompt("Email")
    name = name or typer.prompt("Name")
    password = password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)

    async def create() -> None:
        user = await commands.create(
            get_settings(), email=str(email), name=str(name), password=str(password), admin=admin
        )
        console.print(f"Created {user.email} ({user.id}).", markup=False)

    _run(create())


@users_app.command("list")
def users_list(
    status: Annotated[str | None, typer.Option(help="Only pending, active, disabled or deleted ones.")] = None,
) -> None:
    """Every account: address, status, role, name."""
    from orchestrator.accounts import commands  # noqa: PLC0415

    async def show() -> None:
        for user in await commands.listed(get_settings(), status):
            console.print(f"{user.email}  {user.status}  {user.role}  {user.name}", markup=False, soft_wrap=True)

    _run(show())


@users_app.command("show")
def users_show(email: Email) -> None:
    """One account."""
    from orchestrator.accounts import commands  # noqa: PLC0415

    async def show() -> None:
        user = await commands.show(get_settings(), email)
        for label in SHOWN:
            value = getattr(user, label)
            console.print(f"{label:12} {'-' if value is None else value}", markup=False, soft_wrap=True)

    _run(show())


@users_app.command("grant")
def users_grant(email: Email, role: Annotated[str, typer.Option(help="admin or user.")] = "admin") -> None:
    """Give an account a role."""
    from orchestrator.accounts import commands  # noqa: PLC0415

    async def grant() -> None:
        user = await commands.grant(get_settings(), email, role)
        console.print(f"{user.email} is {user.role} now.", markup=False)

    _run(grant())


@users_app.command("disable")
def users_disable(email: Email, undo: Annotated[bool, typer.Option("--undo", help="Let it in again.")] = False) -> None:
    """Lock an account out: its logins end, its data stay."""
    from orchestrator.accounts import commands  # noqa: PLC0415

    async def switch() -> None:
        user = await commands.switch(get_settings(), email, disabled=not undo)
        console.print(f"{user.email} is {user.status} now.", markup=False)

    _run(switch())


Order = Annotated[UUID, typer.Argument(help="Polar's id of the order.")]


@billing_app.command("check")
def billing_check() -> None:
    """Whether Polar is set up as the settings say: token, scopes, products, prices."""
    from orchestrator.billing.check import check  # noqa: PLC0415
    from orchestrator.billing.polar import Polar  # noqa: PLC0415
    from orchestrator.billing.polar_errors import PolarNotConfiguredError  # noqa: PLC0415

    async def show() -> None:
        settings = get_settings()
        if settings.polar_access_token is None:
            raise PolarNotConfiguredError
        async with Polar.from_settings(settings) as polar:
            found = await check(settings, polar)
        for finding in found:
            console.print(f"{finding.level}: {finding.text}", markup=False, soft_wrap=True, highlight=False)
        if wrong := sum(finding.level == "error" for finding in found):
            _fail(f"Credits cannot be sold like this: {wrong} of these are errors.")
        console.print("Credits can be sold.")

    _run(show())


@billing_app.command("reconcile")
def billing_reconcile(
    days: Annotated[int, typer.Option(min=1, max=3650, help="How far to look back.")] = 2,
) -> None:
    """Compare Polar's orders, refunds, disputes and subscriptions with ours, and repair what no webhook brought."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def reconcile() -> None:
        run = await commands.reconcile(get_settings(), days)
        console.print(
            f"Looked at {run.orders} orders since {run.since:%F %T}, {run.refunds} refunds, {run.disputes} disputes and"
            f" {run.subscriptions} subscriptions: {run.repaired} repaired, {run.ended} purchases ended,"
            f" {run.failed} failed.",
            markup=False,
            soft_wrap=True,
        )
        for left in await commands.leftovers(get_settings()):
            tried = f"since {left.first_at:%F %T}, {left.attempts} attempts"
            console.print(f"Left: {left.kind} {left.id} ({tried}): {left.reason}", markup=False, soft_wrap=True)
        if run.error:
            _fail(run.error)
        if run.failed:
            _fail("Some could not be reconciled; the log says why.")

    _run(reconcile())


@billing_app.command("parked")
def billing_parked() -> None:
    """Orders whose credits wait for a human, and why."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def show() -> None:
        for order in await commands.parked(get_settings()):
            paid = "paid" if order.paid_seen else order.status
            amount = f"{order.net_amount} {order.currency}"
            console.print(f"{order.id}  {paid}  {amount}  {order.reason}", markup=False, soft_wrap=True)

    _run(show())


@billing_app.command("assign")
def billing_assign(order: Order, email: Email) -> None:
    """Grant a parked order's credits to an account."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def assign() -> None:
        applied = await commands.assign(get_settings(), order, email)
        console.print(f"{email} has {applied.change} credits of order {order} now.", markup=False, soft_wrap=True)

    _run(assign())


@billing_app.command("settle")
def billing_settle(order: Order) -> None:
    """Note that a parked order needs nothing more: it brings no credits, and is not listed again."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def settle() -> None:
        await commands.settle(get_settings(), order)
        console.print(f"Order {order} is settled. It brings no credits.", markup=False, soft_wrap=True)

    _run(settle())


@billing_app.command("refund")
def billing_refund(
    order: Order,
    amount: Annotated[int | None, typer.Option(min=1, help="Cents without tax; else all that is left.")] = None,
) -> None:
    """Refund an order at Polar, whole or in part, and take its credits back in proportion."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def refund() -> None:
        refunded = await commands.refund(get_settings(), order, amount)
        made = refunded.refund
        earlier = f" by an earlier command ({made.created_at:%F %T} UTC)" if refunded.earlier else ""
        pending = "; Polar.sh has yet to carry it out" if made.status == "pending" else ""
        console.print(
            f"Refunded {made.amount} of order {order}{earlier}{pending}. Its buyer's credits changed by"
            f" {refunded.applied.change}.",
            markup=False,
            soft_wrap=True,
        )

    _run(refund())


@billing_app.command("replay")
def billing_replay() -> None:
    """Handle again the events of Polar's that failed."""
    from orchestrator.billing import commands  # noqa: PLC0415

    async def replay() -> None:
        async for each in commands.replay(get_settings()):
            line = f"{each.webhook_id}  {each.type}  {each.outcome}  {each.reason or ''}"
            console.print(line.rstrip(), markup=False, soft_wrap=True)

    _run(replay())


@credits_app.command("grant")
def credits_grant(
    email: Email,
    credits: Annotated[int, typer.Argument(help="How many.", min=1)],
    note: Annotated[str | None, typer.Option(help="Why. The owner reads it; no personal data, for it is kept.")] = None,
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=36_500, help="They never do when left out.")] = None,
    key: Annotated[str | None, typer.Option(help="Of calls with the same key, one alone grants.")] = None,
) -> None:
    """Give an account credits."""
    from orchestrator.credits import commands  # noqa: PLC0415

    async def grant() -> None:
        user, balance = await commands.grant(
            get_settings(), email, credits, note=note, expires_in_days=expires_in_days, key=key
        )
        console.print(f"{user.email} has {balance.available} credits available now.", markup=False)

    _run(grant())


@credits_app.command("audit")
def credits_audit() -> None:
    """Add up every account again from its entries; exit code 1 where anything disagrees."""
    from orchestrator.credits import commands  # noqa: PLC0415

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, soft_wrap=True)

    async def audit() -> None:
        say(await commands.audit(get_settings(), say))

    _run(audit())


def main() -> None:
    app()


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end, or until it is asked to stop."""
    from orchestrator.local.signals import run  # noqa: PLC0415

    with _told_plainly():
        raise SystemExit(run(work))


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Errors that are not ours to fix are told in one line, with exit code 1."""
    try:
        yield
    except OctaviaError as error:
        _fail(error.message)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        _fail(f"The connection to Octavia's API broke ({reason}). Is it still running? Try again.")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValidationError as error:
        settings = "; ".join(f"OCTAVIA_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        _fail(f"The settings are not valid. {settings}")


def _fail(message: str) -> Never:
    errors.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True, highlight=False)
    raise SystemExit(1) from None


def _model_plane(*arguments: str) -> None:
    """Become the model plane's own command line: the planes share nothing but the protocol."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "serve.weights", *arguments])  # noqa: S606


async def _up(polar_standin: bool) -> None:
    from orchestrator.local.polar_standin import LocalPolar  # noqa: PLC0415
    from orchestrator.local.up import up  # noqa: PLC0415
    from orchestrator.logs import configure_logging  # noqa: PLC0415
    from orchestrator.settings_check import NotForProductionError, missing  # noqa: PLC0415

    settings = get_settings()
    polar = LocalPolar.prepare(settings) if polar_standin else None
    if settings.mode == "production" and (problems := missing(settings)):
        raise NotForProductionError(problems)
    configure_logging(settings)
    async with up(settings, polar=polar, say=lambda part: console.print(f"[dim]{part} …[/dim]")) as address:
        console.print(f"Octavia is up at [bold]{address.api_url}[/bold] (API documentation: {address.api_url}/docs)")
        if polar is not None:
            console.print(f"Polar stand-in: {polar.url}/_standin/ (what was bought, and what can be done to it)")
        console.print(f"Token of the local user: {settings.data_dir / 'token'}.  Ctrl-C stops everything.")
        await asyncio.Event().wait()


@asynccontextmanager
async def _system() -> AsyncIterator["Client"]:
    """A client of a system; the terminal shows its start and its end."""
    from orchestrator.local.client import Client  # noqa: PLC0415
    from orchestrator.local.system import any_system  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        status = stack.enter_context(console.status("Starting Octavia …"))

        def say(part: str) -> None:
            if console.is_terminal:
                status.update(f"Octavia: {part} …")
                status.start()
            else:
                errors.print(f"{part} …", soft_wrap=True, highlight=False, markup=False)

        address = await stack.enter_async_context(any_system(get_settings(), say))
        status.stop()
        yield await stack.enter_async_context(Client(address.api_url, address.token))


async def _perform(wish: "Wish") -> None:
    from orchestrator.local.job import perform  # noqa: PLC0415

    async with _system() as client:
        await perform(client, console, wish)


if __name__ == "__main__":
    main()
