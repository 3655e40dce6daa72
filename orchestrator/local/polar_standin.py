"""A stand-in for Polar.sh as one more part of `octavia up`, so that buying can be tried without an account there."""

import json
import os
import secrets
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar
from uuid import UUID, uuid5

from orchestrator.billing.check import PRORATION
from orchestrator.billing.offers import Offer, Package, Plan
from orchestrator.errors import OctaviaError
from orchestrator.local.ports import free_port
from orchestrator.local.processes import Child
from orchestrator.settings import Settings

MODULE = "tests.standins.polar"
REPOSITORY = Path(__file__).parents[2]
PRODUCTS = UUID("6f1d6b0c-6a55-4d5b-9c6f-1b9a53a3c7f1")
"""Product ids are made of it and the offers' ids, so that they are the same at every start."""
DEVELOPMENT_PLANS = (Plan(id="monthly_credits", name="Monthly", credits=300, price_cents=1900),)
"""Where the settings have no plan."""

AnyOffer = TypeVar("AnyOffer", bound=Offer)


class NotInProductionError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "standin_in_production",
            "--polar-standin is for development: everybody could pay with nothing. Leave it out, or OCTAVIA_MODE.",
            409,
        )


class NoStandInError(OctaviaError):
    def __init__(self) -> None:
        super().__init__(
            "no_standin",
            f"The stand-in for Polar.sh is not here ({REPOSITORY / 'tests'}): it comes with the repository, not with "
            "the package. Run `octavia up --polar-standin` from a checkout.",
            501,
        )


@dataclass(frozen=True, slots=True)
class LocalPolar:
    """A stand-in that is to run: where, with which secrets, selling what."""

    port: int
    token: str = field(repr=False)
    secret: str = field(repr=False)
    packages: tuple[Package, ...]
    plans: tuple[Plan, ...]
    file: Path
    """Keeps what was bought over a restart, as our database does."""

    @classmethod
    def prepare(cls, settings: Settings) -> Self:
        """Raises NotInProductionError, NoStandInError."""
        if settings.mode == "production":
            raise NotInProductionError
        if not (REPOSITORY / Path(*MODULE.split("."), "__main__.py")).is_file():
            raise NoStandInError
        return cls(
            port=free_port(),
            token=f"polar_oat_{secrets.token_hex(20)}",
            secret=f"whsec_{b64encode(secrets.token_bytes(32)).decode()}",
            packages=tuple(_with_product(package) for package in settings.packages),
            plans=tuple(_with_product(plan) for plan in settings.plans or DEVELOPMENT_PLANS),
            file=settings.data_dir / "polar-standin.json",
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The settings with which API and worker sell through it."""
        return {
            "OCTAVIA_BILLING": "true",
            "OCTAVIA_POLAR_URL": self.url,
            "OCTAVIA_POLAR_ACCESS_TOKEN": self.token,
            "OCTAVIA_POLAR_WEBHOOK_SECRETS": json.dumps([self.secret]),
            "OCTAVIA_PACKAGES": json.dumps([package.model_dump(mode="json") for package in self.packages]),
            "OCTAVIA_PLANS": json.dumps([plan.model_dump(mode="json") for plan in self.plans]),
        }

    def child(self, api_url: str, logs: Path | None) -> Child:
        """Its process, which tells the API of what happens."""
        command = [sys.executable, "-m", MODULE, "--port", str(self.port), "--file", str(self.file)]
        command += ["--webhook", f"{api_url}/webhooks/polar", "--proration", PRORATION]
        for offer in (*self.packages, *self.plans):
            interval = ":month" if isinstance(offer, Plan) else ""
            command += ["--product", f"{offer.name}:{offer.price_cents}{offer.currency}:{offer.product_id}{interval}"]
        own = {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "POLAR_STANDIN_TOKEN": self.token,
            "POLAR_STANDIN_SECRET": self.secret,
        }
        return Child("polar", command, lambda: own, logs / "polar.log" if logs else None)


def _with_product(offer: AnyOffer) -> AnyOffer:
    return offer.model_copy(update={"product_id": offer.product_id or uuid5(PRODUCTS, offer.id)})
