"""The command line of `benchmarks.upgrades`. Exit status 1 where something failed or did not come out as it must."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.upgrades.outcome import table
from benchmarks.upgrades.planes import UPGRADES
from benchmarks.upgrades.stage import USERS, stage


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upgrades", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="before and after each upgrade")
    parser.add_argument("--plane", default=",".join(UPGRADES), help=f"of {', '.join(UPGRADES)}")
    parser.add_argument(
        "--abrupt", action="store_true", help="API processes end at once: what fails then is what draining is for"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was started is ended
    upgrades = []
    with tempfile.TemporaryDirectory(prefix="octavia-upgrades-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the database's own user
        with stage(folder, drains=not options.abrupt) as running:
            for plane in options.plane.split(","):
                upgrade = UPGRADES[plane](running, options.seconds)
                upgrades.append(upgrade)
                print(*upgrade.seen, sep="\n", flush=True)
                for failure in {failure for row in upgrade.rows for failure in row.failed}:
                    print("FAILED", failure, flush=True)
                for sentence in upgrade.wrong:
                    print("WRONG", sentence, flush=True)
    print(table(upgrades))
    print(f"users: {', '.join(f'{count} {profile}' for profile, count in USERS.items())}")
    print(machine())
    sys.exit(0 if all(upgrade.is_good for upgrade in upgrades) else 1)


if __name__ == "__main__":
    main()
