"""/_standin/…: in a process of its own, the stand-in is told by HTTP what the class is told by its methods."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.standins.polar.faults import Fault
from tests.standins.polar.refusals import Refusal

if TYPE_CHECKING:
    from tests.standins.polar.standin import PolarStandIn

VERBS = (
    *("pay", "expire", "decline", "refund", "succeed_refund", "fail_refund", "dispute"),
    *("renew", "begin_renewal", "pay_renewal", "fail_renewal", "give_up_renewal", "prorate"),
    *("change_plan", "settle_changes_of_plan"),
    *("cancel", "uncancel", "revoke", "end_period", "send"),
)
DELIVERY_VERBS = ("hold", "release", "lose", "disable", "enable", "redeliver")


class Control:
    """POST /_standin/VERB with a JSON object of arguments; GET /_standin/ shows what there is."""

    def __init__(self, standin: "PolarStandIn") -> None:
        self._standin = standin

    def routes(self) -> list[Route]:
        return [
            Route("/_standin/", self._show, methods=["GET"]),
            Route("/_standin/{verb}", self._do, methods=["POST"]),
        ]

    async def _show(self, _: Request) -> Response:
        deliveries = self._standin.deliveries
        return JSONResponse(
            {
                "verbs": [*VERBS, *DELIVERY_VERBS, "rotate", "fault", "webhook"],
                "webhook_url": deliveries.url,
                "events": [{"id": each.id, "type": each.type, "state": each.state} for each in deliveries.events],
                "attempts": [asdict(each) for each in deliveries.attempts],
                **{name: list(table.values()) for name, table in self._standin.market.tables.items()},
            }
        )

    async def _do(self, request: Request) -> Response:
        verb = request.path_params["verb"]
        arguments = await request.json() if await request.body() else {}
        try:
            result = self._called(verb, arguments)
        except Refusal as refusal:
            return JSONResponse(refusal.body, refusal.status)
        except (TypeError, LookupError) as error:
            return JSONResponse({"detail": str(error)}, 400)
        self._standin.changed()
        return JSONResponse(result)

    def _called(self, verb: str, arguments: dict[str, Any]) -> Any:
        standin = self._standin
        if verb in VERBS:
            result = getattr(standin, verb)(**arguments)
            return result if isinstance(result, dict) else None
        if verb in DELIVERY_VERBS:
            return getattr(standin.deliveries, verb)(**arguments)
        match verb:
            case "rotate":
                return {"secret": standin.deliveries.rotate(**arguments).secret}
            case "fault":
                return asdict(standin.faults.add(Fault(**arguments)))
            case "webhook":
                standin.deliveries.aim(**arguments)
                return arguments
        raise LookupError(f"there is no {verb}; see GET /_standin/")
