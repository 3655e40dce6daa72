"""The settings page's words for languages, time zones and notifications, beside ours."""

from collections.abc import Mapping

LANGUAGES: Mapping[str, str] = {"English": "en", "Spanish": "es", "French": "fr", "German": "de"}

TIME_ZONES: Mapping[str, str] = {
    "UTC (GMT+0)": "UTC",
    "EST (GMT-5)": "America/New_York",
    "PST (GMT-8)": "America/Los_Angeles",
    "CET (GMT+1)": "Europe/Paris",
}

SWITCHES: Mapping[str, tuple[str, ...]] = {
    "translationComplete": ("job_completed",),
    "emailNotifications": ("email",),
    "weeklySummary": ("product_news",),
}
"""Which of our kinds and ways of notices each of the page's switches turns."""


def shown(table: Mapping[str, str], value: str) -> str:
    """The page's word for a value of ours; the value itself where it has none."""
    return next((word for word, ours in table.items() if ours == value), value)


def meant(table: Mapping[str, str], word: str) -> str:
    """Our value for a word of the page; another client may send the value itself."""
    return table.get(word, word)


def switched(switches: Mapping[str, bool]) -> dict[str, bool]:
    """Our kinds and ways of notices by the page's switches; those it does not name stay."""
    return {kind: on for name, on in switches.items() for kind in SWITCHES.get(name, ())}


def switches(kinds: Mapping[str, bool]) -> dict[str, bool]:
    """The page's switches by our kinds and ways of notices: on where any of them is."""
    return {name: any(kinds.get(kind, False) for kind in ours) for name, ours in SWITCHES.items()}
