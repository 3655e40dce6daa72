"""The stand-in in a process of its own, for development.  `python -m tests.standins.polar --port 8200 …`

--product takes NAME:CENTS:ID or NAME:CENTS:ID:INTERVAL, and a currency after the cents where it is not usd. What the
class can do is told to it by POST /_standin/VERB.
"""

import argparse
import asyncio
import os
import signal
import string
from pathlib import Path

from orchestrator.local.processes import end_with_parent
from tests.standins.polar.deliveries import Key
from tests.standins.polar.market import PERIODS
from tests.standins.polar.money import Tax
from tests.standins.polar.standin import PolarStandIn


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.standins.polar", description="A stand-in for Polar.sh.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--webhook", help="URL that events are delivered to")
    parser.add_argument(
        "--secret",
        default=os.environ.get("POLAR_STANDIN_SECRET"),
        help="webhook secret (or POLAR_STANDIN_SECRET); whsec_ and base64 of 32 bytes is taken for a new one",
    )
    parser.add_argument(
        "--token", default=os.environ.get("POLAR_STANDIN_TOKEN"), help="access token to take (or POLAR_STANDIN_TOKEN)"
    )
    parser.add_argument("--product", action="append", default=[], metavar="NAME:CENTS:ID[:INTERVAL]")
    parser.add_argument("--proration", default="prorate", help="how a change of plan in the portal is paid")
    parser.add_argument("--tax", type=float, default=0.0, help="percent on top of prices")
    parser.add_argument("--file", type=Path, help="keeps the state over a restart")
    parser.add_argument("--time-scale", type=float, default=1.0, help="shortens the pauses between deliveries")
    return parser.parse_args()


async def serve(chosen: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    standin = PolarStandIn(
        chosen.webhook,
        key=_key(chosen.secret),
        token=chosen.token,
        port=chosen.port,
        file=chosen.file,
        tax=Tax(chosen.tax),
        time_scale=chosen.time_scale,
    )
    for text in chosen.product:
        _add_product(standin, text)
    standin.settle_changes_of_plan(chosen.proration)
    async with standin:
        made_up = "" if chosen.token else f"; token {standin.token}"
        made_up += "" if chosen.secret else f"; webhook secret {standin.secret}"
        print(f"Polar stand-in at {standin.url}{made_up}", flush=True)
        await stop.wait()


def _add_product(standin: PolarStandIn, text: str) -> None:
    """A product of the command line; it replaces one of the same id that was kept."""
    parts = text.split(":")
    interval = parts.pop() if parts[-1] in PERIODS else None
    *name, price, id_ = parts
    cents = price.rstrip(string.ascii_lowercase)
    currency = price.removeprefix(cents) or "usd"
    standin.add_product(":".join(name), int(cents), id_=id_, interval=interval, currency=currency)


def _key(secret: str | None) -> Key | None:
    """A secret of the new kind is one that its key can be read from: 32 bytes of base64 with padding."""
    if secret is None:
        return None
    return Key(secret, "new" if secret.startswith("whsec_") and len(secret) == 50 else "old")


if __name__ == "__main__":
    end_with_parent()
    asyncio.run(serve(arguments()))
