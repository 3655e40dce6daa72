"""`python -m scripts.kubernetes generate`: make what is made. `… check`: render each overlay, hold it to the rules."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from scripts.kubernetes.generate import CHECKOUT, OVERLAYS, everything
from scripts.kubernetes.render import NoKubectlError, RenderError, find_kubectl

console = Console()


def generate() -> int:
    for path, text in everything().items():
        path.write_text(text, encoding="utf-8")
        console.print(f"made {path.relative_to(CHECKOUT)}", markup=False)
    return 0


def check() -> int:
    from scripts.kubernetes.check import RULES, problems, rendered  # noqa: PLC0415 - imports Ray

    kubectl = find_kubectl()
    stale = [path for path, text in everything().items() if path.read_text(encoding="utf-8") != text]
    table = Table("overlay", "manifests", "kinds of pods", "rules", "problems")
    wrong = [f"{path.relative_to(CHECKOUT)} is not what would be made now" for path in stale]
    for overlay in OVERLAYS:
        deployed = rendered(overlay, kubectl)
        found = list(problems(deployed))
        wrong += [f"{overlay}: {each}" for each in found]
        counts = (len(deployed.manifests), len(deployed.pods), len(RULES), len(found))
        table.add_row(overlay, *map(str, counts))
    console.print(table)
    for each in wrong:
        console.print(each, markup=False, highlight=False, soft_wrap=True)
    return 1 if wrong else 0


def main(arguments: list[str]) -> int:
    commands: dict[tuple[str, ...], Callable[[], int]] = {("generate",): generate, ("check",): check}
    command = commands.get(tuple(arguments))
    if command is None:
        console.print("python -m scripts.kubernetes generate|check")
        return 2
    try:
        return command()
    except (NoKubectlError, RenderError) as error:
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
