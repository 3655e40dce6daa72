"""A storm of Polar's deliveries: each signed, new, and of an order of its own."""

from locust import task
from uuid_utils.compat import uuid7

from benchmarks.load.profiles.user import TOLD, OctaviaUser
from tests.orchestrator.billing.payloads import STARTER, event, order, purchase_of, signed


class Polar(OctaviaUser):
    logs_in = False

    @task
    def deliver(self) -> None:
        body = event("order.paid", order(purchase_of(uuid7(), STARTER)))
        headers = signed(body, TOLD["webhook_secret"])
        self.call("POST", "/webhooks/polar", expect=(202,), headers=headers, data=body)
