"""What `octavia models list` and `licences` show, as data for --json and as text for people."""

from collections.abc import Iterable, Sequence
from typing import Any

from serve.catalogue import CatalogueEntry
from serve.licences import cleared, notice, reason, refusal
from serve.settings import ServeSettings
from serve.weights import settings_catalogue, wanted
from serve.weights_inventory import inventory, place
from serve.weights_record import bytes_of


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with every column as wide as its widest cell."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[number]) for row in table) for number in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def megabytes(count: int | None) -> str:
    """A size for people."""
    return "?" if count is None else f"{count / 1e6:,.1f} MB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"


def purpose(entry: CatalogueEntry) -> str:
    """What languages it is for, in a word."""
    if entry.source_language:
        return f"{entry.source_language}→{entry.target_language}"
    return entry.languages[0] if len(entry.languages) == 1 else f"{len(entry.languages)} languages"


def listed(settings: ServeSettings, *, installed: bool) -> list[dict[str, Any]]:
    """Every entry of the catalogue, or those on this machine; then, too, what the catalogue does not have."""
    rows = []
    for entry in settings_catalogue(settings).entries:
        folder = place(entry, settings)
        if folder is not None or not installed:
            rows.append(facts(entry, settings) | {"folder": str(folder) if folder else None})
            rows[-1]["bytes"] = bytes_of(folder) if folder else None
    if installed:
        rows += [
            {"name": each.name, "model": None, "state": each.kind, "folder": str(each.folder), "bytes": each.bytes}
            for each in inventory(settings)
            if each.kind in {"older", "unknown", "unfinished", "fetching"}
        ]
    return rows


def facts(entry: CatalogueEntry, settings: ServeSettings) -> dict[str, Any]:
    """One entry of the catalogue."""
    return {
        "name": entry.name,
        "model": entry.model,
        "purpose": purpose(entry),
        "sets": list(entry.sets),
        "sources": list(entry.sources),
        "download_bytes": entry.download_bytes,
        "licence": entry.licence,
        "paid_use": cleared(entry),
        "toy": entry.toy,
        "admitted": refusal(entry, settings) is None,
    }


def list_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """`list` for people."""
    header = ("NAME", "MODEL", "FOR", "SETS", "LICENCE", "PAID USE", "ON DISK", "STATE")
    return columns(header, (cells(row) for row in rows))


def cells(row: dict[str, Any]) -> Sequence[str]:
    """One line of `list`."""
    size = megabytes(row["bytes"]) if row["bytes"] is not None else "-"
    if row["model"] is None:
        return (row["name"], "-", "-", "-", "-", "-", size, row["state"])
    paid = "cleared" if row["paid_use"] else "no"
    state = "refused" if not row["admitted"] else "here" if row["folder"] else "-"
    sets = ",".join(row["sets"]) or "by name"
    return (row["name"], row["model"], row["purpose"], sets, row["licence"], paid, size, state)


def licences(settings: ServeSettings, *, everything: bool) -> list[dict[str, Any]]:
    """The licence of everything that is on this machine or would be loaded; of the whole catalogue if asked for."""
    chosen = {entry.name for entry in wanted(settings)}
    rows = []
    for entry in settings_catalogue(settings).entries:
        here = place(entry, settings) is not None
        if not (everything or here or entry.name in chosen):
            continue
        rows.append(
            {
                "name": entry.name,
                "model": entry.model,
                "installed": here,
                "selected": entry.name in chosen,
                "licence": entry.licence,
                "licence_chain": list(entry.licence_chain),
                "paid_use": cleared(entry),
                "not_cleared_because": reason(entry),
                "toy": entry.toy,
                "opted_in": entry.name in settings.allow_weights,
                "refused_because": refusal(entry, settings),
                "attribution": entry.attribution,
                "notice": notice(entry),
            }
        )
    return rows


def licence_lines(rows: Sequence[dict[str, Any]], settings: ServeSettings) -> list[str]:
    """`licences` for people: each chain, then what is refused, then the text to show."""
    lines = []
    for row in rows:
        place_of = " ".join(word for word in ("installed", "selected") if row[word]) or "not installed"
        lines.append(f"{row['name']} ({row['model']}, {place_of}): {row['licence']}")
        lines += [f"  ← {link}" for link in row["licence_chain"]]
        why = row["not_cleared_because"]
        lines.append(f"  not cleared for paid use: {why}" if why else "  cleared for paid use")
        if why and row["opted_in"] and not row["toy"]:
            lines.append("  let through by OCTAVIA_ALLOW_WEIGHTS, on the operator's own responsibility")
    refused = [row for row in rows if (row["refused_because"] if settings.billing else row["not_cleared_because"])]
    names = ", ".join(row["name"] for row in refused) or "none"
    lines += ["", f"Billing is {'on. Refused' if settings.billing else 'off. With billing on, not cleared'}: {names}"]
    notices = dict.fromkeys(row["notice"] for row in rows if row["notice"] and not row["refused_because"])
    lines += [
        "",
        "Show this text where people see what your service is made of:",
        "",
        *(f"  {each}" for each in notices),
    ]
    return lines
