"""Settings of the model plane, from environment variables named OCTAVIA_…"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CHECKOUT = Path(__file__).resolve().parent.parent


class ServeSettings(BaseSettings):
    """The model plane's values; each is explained beneath itself. Lists are JSON: OCTAVIA_ALLOW_WEIGHTS='["a"]'."""

    model_config = SettingsConfigDict(env_prefix="OCTAVIA_", use_attribute_docstrings=True, extra="ignore")

    model_repo: Path = CHECKOUT / "model_repo"
    """Folder with one folder per model (config.pbtxt) and catalogue.toml."""

    serve_config: Path = CHECKOUT / "serve" / "serve.yaml"
    """Ray Serve's config file: placement, replicas, autoscaling. `kill -USR1` of the plane's process reads it again."""

    serve_num_gpus: int | None = Field(default=None, ge=0)
    """GPUs of this machine; Ray counts them itself unless told. More than there are makes logical ones, for tests."""

    weights_dir: Path = Field(default_factory=lambda: Path.home() / ".cache" / "octavia" / "weights")
    """Where weights are fetched to and converted; shared safely by any number of processes."""

    weights: Literal["auto", "standard", "starter"] = "auto"
    """Which set of the catalogue to load: standard where the model hub answers, else starter (auto), or one of them."""

    languages: list[str] = Field(default_factory=lambda: ["en", "es", "fr", "de", "it"])
    """Languages whose translations and voices the standard set loads (a pair is 300 to 600 MB to fetch); ["*"]: all."""

    whisper: str | None = None
    """A whisper entry of the catalogue to use in place of the set's own, for example faster-whisper-small."""

    voices: list[str] = Field(default_factory=list)
    """Voices of the catalogue to load beside those of the set, for example xtts-v2 or openvoice-v2, which speak like a
    clip.
    """

    align: list[str] = Field(default_factory=list)
    """align entries of the catalogue, one a language, such as ["align-en", "align-de"]; none: no forced alignment."""

    diarize: str | None = None
    """A diarize entry of the catalogue, for example diarize-community-1; none: no speaker diarization."""

    separate: str | None = None
    """A separate entry of the catalogue, for example hdemucs-musdb-plus; none: no dub keeps its background."""

    speech_quality: str | None = None
    """A speech_quality entry of the catalogue, dnsmos; none: quality reports don't rate the speech."""

    speaker_embedding: str | None = None
    """A speaker_embedding entry of the catalogue, resemblyzer; none: quality reports don't compare cloned voices."""

    billing: bool = False
    """Whether people pay for jobs. Then only weights cleared for paid use load, and never a toy translation."""

    allow_weights: list[str] = Field(default_factory=list)
    """Names of catalogue entries to load under billing although they are not cleared: the operator's own decision."""

    hub_timeout_s: float = Field(default=4.0, gt=0)
    """How long the model hub may take to answer before `auto` falls back to the starter set."""

    coqui_mirror: str | None = None
    """Address that stands in for https://github.com/ when Coqui's voices are downloaded."""

    serve_host: str = "127.0.0.1"
    """Address the model plane listens on; loopback, since the protocol has no authentication."""

    serve_http_port: int = Field(default=8100, ge=0, le=65535)
    """Open Inference Protocol over HTTP."""

    serve_grpc_port: int = Field(default=8101, ge=0, le=65535)
    """Open Inference Protocol over gRPC."""

    serve_max_request_bytes: int = Field(default=128 * 2**20, gt=0)
    """Largest request over gRPC or HTTP, before and after its compression is undone. A larger one is refused unread."""

    serve_metrics_port: int = Field(default=8102, ge=0, le=65535)
    """Prometheus metrics of the model plane."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """OpenTelemetry collector (OTLP over HTTP) that the spans of traced requests are sent to; None: none are made."""


@cache
def get_settings() -> ServeSettings:
    """The settings of this process, read once."""
    return ServeSettings()
