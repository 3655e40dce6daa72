"""Language codes as people write them."""

import re
from typing import Annotated

from pydantic import AfterValidator

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def language_tag(code: str) -> str:
    """A BCP 47 tag in its usual case: language lower, Script title, REGION upper (RFC 5646, section 2.1.1)."""
    if not _TAG.fullmatch(code):
        raise ValueError(f"'{code[:20]}' is not a language code; one looks like 'en' or 'pt-BR'")
    first, *rest = code.split("-")
    cased = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(cased.get(len(part), str.lower)(part) for part in rest)])


Language = Annotated[str, AfterValidator(language_tag)]
