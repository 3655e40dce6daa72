"""What licences allow and ask for: which terms forbid paid use, and what well-known licences are called.

The catalogue states licences as text (an SPDX identifier, or plain words); this reads it, always to the careful side.
"""

import re

FORBIDDING = (  # pattern in a licence or a link of its chain -> why it is not cleared for paid use
    (re.compile(r"(?<![A-Za-z])NC(?![A-Za-z])|non[- ]?commercial", re.IGNORECASE), "is non-commercial"),
    (re.compile(r"\bCPML\b|coqui public model", re.IGNORECASE), "is non-commercial (CPML)"),
    (
        re.compile(r"research[- ](use[- ])?only|only for research|for research|research (use|purposes)", re.IGNORECASE),
        "is for research only",
    ),
    (re.compile(r"academic|educational use|evaluation (use|only)", re.IGNORECASE), "is for academic use only"),
    (re.compile(r"personal use|private use", re.IGNORECASE), "is for personal use only"),
    (
        re.compile(
            r"(no|not for|without) (commercial|paid)( use)?|(commercial|paid) use (is )?(not|forbidden|prohibited)",
            re.IGNORECASE,
        ),
        "forbids commercial use",
    ),
    (
        re.compile(
            r"unknown|unstated|unclear|unlicen[cs]ed|undisclosed|not (stated|published|known)|no licen[cs]e|proprietary"
            r"|all rights reserved|\btbd\b|\bn/a\b|\bnone\b|^\W*$",
            re.IGNORECASE,
        ),
        "grants nothing that is stated",
    ),
)

KNOWN = {  # SPDX identifier -> (what people call it, its text)
    "Apache-2.0": ("Apache 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    "BSD-3-Clause": ("BSD 3-Clause", "https://opensource.org/license/bsd-3-clause"),
    "CC-BY-4.0": ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "CC-BY-SA-4.0": ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    "CC0-1.0": ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "MIT": ("MIT", "https://opensource.org/license/mit"),
    "MPL-2.0": ("MPL 2.0", "https://www.mozilla.org/MPL/2.0/"),
}


def objection(text: str) -> str | None:
    """Why what is under that licence may not be used for pay, as the end of a sentence; None when nothing says so."""
    return next((why for pattern, why in FORBIDDING if pattern.search(text)), None)


def objections(licence: str, chain: tuple[str, ...]) -> list[str]:
    """Every part of a licence and its chain that paid use is not cleared by, with the reason."""
    if not chain:
        return ["the chain of licences it was made from is not stated"]
    return [f"{part!r} {why}" for part in dict.fromkeys((licence, *chain)) if (why := objection(part))]
