"""Pages for buyers: the hosted checkout, the customer portal, an invoice."""

from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.standins.polar.refusals import Refusal
from tests.standins.polar.shapes import Json

if TYPE_CHECKING:
    from tests.standins.polar.standin import PolarStandIn

STYLE = (
    "body{font:16px system-ui;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#16181d}"
    "h1{font-size:1.4rem}.price{font-size:2rem;font-weight:600}label{display:block;margin:1rem 0 .25rem}"
    "input{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;border:1px solid #b8bdc7;border-radius:.4rem}"
    "button,a.button{font:inherit;display:block;width:100%;box-sizing:border-box;text-align:center;margin-top:1rem;"
    "padding:.7rem;border-radius:.4rem;border:1px solid #1b4dff;background:#1b4dff;color:#fff;text-decoration:none}"
    "button.quiet,a.quiet{background:#fff;color:#1b4dff}.wrong{color:#b00020}.note{color:#5b6270;font-size:.85rem}"
)


class Pages:
    """Routes without a token: who has the link may use it."""

    def __init__(self, standin: "PolarStandIn") -> None:
        self._standin = standin
        self._market = standin.market

    def routes(self) -> list[Route]:
        return [
            Route("/checkout/{secret}", self._checkout, methods=["GET"]),
            Route("/checkout/{secret}", self._pressed, methods=["POST"]),
            Route("/checkout/{secret}/confirmation", self._confirmation, methods=["GET"]),
            Route("/portal", self._portal, methods=["GET"]),
            Route("/portal", self._cancel, methods=["POST"]),
            Route("/invoices/{id}", self._invoice, methods=["GET"]),
        ]

    async def _checkout(self, request: Request) -> Response:
        try:
            checkout = self._market.checkout_of(request.path_params["secret"])
        except Refusal:
            return _page("Not found", "<p>There is no such checkout.</p>", 404)
        if checkout["status"] == "succeeded":
            return RedirectResponse(self._after(checkout), 303)
        if checkout["status"] != "open":
            return _page("Checkout", "<p>This checkout is over.</p>", 410)
        return self._form(checkout)

    async def _pressed(self, request: Request) -> Response:
        """Pay, or pay with a card that is declined."""
        try:
            checkout = self._market.checkout_of(request.path_params["secret"])
        except Refusal:
            return _page("Not found", "<p>There is no such checkout.</p>", 404)
        form = await request.form()
        email = str(form.get("email") or "").strip() or None
        try:
            if form.get("card") == "declined":
                self._market.confirm(checkout["id"], email)
                self._market.decline(checkout["id"])
                return self._form(checkout, "Your card was declined. Nothing was charged.", 402)
            self._standin.pay(checkout["id"], email=email)
        except Refusal as refusal:
            if checkout["status"] == "succeeded":
                return RedirectResponse(self._after(checkout), 303)
            detail = refusal.body["detail"]
            said = detail if isinstance(detail, str) else "; ".join(each["msg"] for each in detail)
            return self._form(checkout, said, refusal.status)
        finally:
            self._standin.changed()
        return RedirectResponse(self._after(checkout), 303)

    async def _confirmation(self, _: Request) -> Response:
        return _page("Thank you", "<p>Your payment was received.</p>")

    async def _portal(self, request: Request) -> Response:
        token = request.query_params.get("customer_session_token", "")
        try:
            session = self._market.session(token)
        except Refusal:
            return _page("Portal", "<p>This link is over. Go back and open the portal again.</p>", 401)
        orders = [self._row(each) for each in self._of(session, "orders")]
        subscriptions = [self._subscription(each, token) for each in self._of(session, "subscriptions")]
        back = _link(session["return_url"], "Back") if session["return_url"] else ""
        content = "".join(["<h2>Orders</h2>", *orders, "<h2>Subscriptions</h2>", *subscriptions, back])
        return _page("Your purchases", content)

    async def _cancel(self, request: Request) -> Response:
        form = await request.form()
        token = str(form.get("customer_session_token") or "")
        try:
            session = self._market.session(token)
            wanted = str(form.get("subscription") or "")
            if wanted in {each["id"] for each in self._of(session, "subscriptions")}:
                self._standin.subscriptions.cancel(wanted)
                self._standin.changed()
        except Refusal as refusal:
            return _page("Portal", f"<p class=wrong>{escape(str(refusal.body['detail']))}</p>", refusal.status)
        return RedirectResponse(f"/portal?customer_session_token={token}", 303)

    async def _invoice(self, request: Request) -> Response:
        order = self._market.tables["orders"].get(request.path_params["id"])
        if order is None or not order["is_invoice_generated"]:
            return PlainTextResponse("There is no such invoice.", 404)
        return PlainTextResponse(
            f"Invoice {order['invoice_number']}: {_money(order['total_amount'], order['currency'])}"
        )

    def _form(self, checkout: Json, wrong: str = "", status: int = 200) -> Response:
        product = self._market.get("products", checkout["product_id"])
        email = escape(checkout["customer_email"] or "")
        locked = " readonly" if checkout["customer_id"] else ""
        every = f" every {product['recurring_interval']}" if product["is_recurring"] else ""
        content = (
            f"<p id=product>{escape(product['name'])}</p>"
            f"<p class=price id=price>{_money(checkout['amount'], checkout['currency'])}{every}</p>"
            + (f"<p class=wrong id=wrong>{escape(wrong)}</p>" if wrong else "")
            + "<form method=post><label for=email>E-mail</label>"
            f'<input id=email name=email type=email required{locked} value="{email}">'
            "<button id=pay name=card value=good>Pay</button>"
            "<button id=decline name=card value=declined class=quiet>Pay with a card that is declined</button></form>"
            + (_link(checkout["return_url"], "Back") if checkout["return_url"] else "")
            + "<p class=note>A stand-in for Polar.sh, for development. No money moves.</p>"
        )
        return _page("Checkout", content, status)

    def _after(self, checkout: Json) -> str:
        return str(self._market.shown_checkout(checkout)["success_url"])

    def _of(self, session: Json, table: str) -> list[Json]:
        return [each for each in self._market.tables[table].values() if each["customer_id"] == session["customer_id"]]

    def _row(self, order: Json) -> str:
        said = f"{order['description']}, {_money(order['total_amount'], order['currency'])}, {order['status']}"
        return f"<p>{escape(said)}</p>"

    def _subscription(self, subscription: Json, token: str) -> str:
        name = escape(self._market.get("products", subscription["product_id"])["name"])
        ends = " (ends with its period)" if subscription["cancel_at_period_end"] else ""
        said = f"<p>{name}: {subscription['status']}{ends}</p>"
        if ends or subscription["status"] != "active":
            return said
        hidden = f'<input type=hidden name=customer_session_token value="{escape(token)}">'
        button = f"<button name=subscription value={subscription['id']}>Cancel</button>"
        return f"{said}<form method=post>{hidden}{button}</form>"


def _money(amount: int, currency: str) -> str:
    return f"{amount / 100:.2f} {currency.upper()}"


def _link(url: str, text: str) -> str:
    return f'<a class="button quiet" id={text.lower()} href="{escape(url)}">{text}</a>'


def _page(title: str, content: str, status: int = 200) -> HTMLResponse:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return HTMLResponse(f"{head}<h1>{title}</h1>{content}", status, {"Cache-Control": "no-store"})
