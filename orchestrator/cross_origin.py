"""Which web pages of other origins may call the API from a browser, and what they may send and read (CORS)."""

from typing import Any
from urllib.parse import urlsplit

from orchestrator.settings import Settings
from orchestrator.uploads import tus

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXPOSED = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    *tus.HEADERS,
)
"""Headers of ours that a page may read beside those every page may."""
REMEMBERED_S = 600
"""How long a browser may keep a preflight's answer."""


def cors(settings: Settings) -> dict[str, Any]:
    """The options of Starlette's CORSMiddleware. Tokens come in a header, so cookies are never allowed."""
    return {
        "allow_origins": sorted({origin_of(settings.web_url), *map(origin_of, settings.web_origins)}),
        "allow_methods": METHODS,
        "allow_headers": ["*"],
        "expose_headers": EXPOSED,
        "max_age": REMEMBERED_S,
    }


def origin_of(url: str) -> str:
    """Scheme, host and port as a browser sends them: https://octavia.example for https://octavia.example:443/app."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, default) else "")
