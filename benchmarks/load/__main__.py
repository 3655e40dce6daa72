"""The command line of `benchmarks.load`. Exit status 1 where a request failed."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.load.running import PROFILES, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--profile", default="browse,translate,webhooks,watchers", help=f"of {', '.join(PROFILES)}")
    parser.add_argument("--users", type=int, default=20, help="users of each profile")
    parser.add_argument("--seconds", type=float, default=30, help="of each profile; they run one after another")
    parser.add_argument("--think", type=float, default=0, help="mean seconds between a user's requests; 0 for capacity")
    parser.add_argument("--host", help="an API that runs already; else one is started on loopback")
    parser.add_argument("--accounts", type=Path, help='with --host: a JSON file of [{"email": …, "password": …}]')
    parser.add_argument(
        "--webhook-secret", help="with --host, for webhooks: the secret Polar's deliveries are signed by"
    )
    parser.add_argument("--json", type=Path, help="a file for the results")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    results = []
    for profile in options.profile.split(","):
        result = run(
            profile,
            users=options.users,
            seconds=options.seconds,
            think_s=options.think,
            host=options.host,
            accounts=options.accounts,
            webhook_secret=options.webhook_secret,
        )
        print(result.table(), flush=True)
        results.append(result)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
    sys.exit(1 if any(result.failures for result in results) else 0)


if __name__ == "__main__":
    main()
