"""A stand-in for Polar.sh: its API, a checkout page to click, a customer portal, and signed webhook deliveries.

`async with PolarStandIn(webhook_url=…) as polar:` listens on loopback at polar.url.
In a process of its own: `python -m tests.standins.polar`.
"""

from tests.standins.polar.deliveries import Attempt, Event, Key, make_key, signed
from tests.standins.polar.faults import Fault
from tests.standins.polar.standin import PolarStandIn

__all__ = ["Attempt", "Event", "Fault", "Key", "PolarStandIn", "make_key", "signed"]
