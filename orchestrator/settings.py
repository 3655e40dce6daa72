"""Every setting of the control plane, read from the environment (OCTAVIA_…) and documented beside its value."""

import os
import secrets
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from orchestrator.billing.offers import PACKAGES, Package, Plan
from orchestrator.connections import POOL
from orchestrator.credits.prices import JobKind, Price
from orchestrator.jobs.limits import Limit, StepName
from orchestrator.quality.reading_back import ReadBack
from orchestrator.retention.rules import Kept

MIB = 2**20

MAILBOX = r"^(([^<>\r\n]* )?<[^<>@\s]+@[^<>@\s]+>|[^<>@\s]+@[^<>@\s]+)$"
"""A mailbox with or without a name: `Octavia <noreply@example.org>`."""

SmtpTls = Literal["starttls", "tls", "none"]
Mode = Literal["development", "production"]
PolarServer = Literal["sandbox", "production"]


class Settings(BaseSettings):
    """Settings of API, worker and command line. `OCTAVIA_API_PORT=9000` sets `api_port`."""

    model_config = SettingsConfigDict(env_prefix="OCTAVIA_", extra="ignore")

    data_dir: Path = Path("~/.local/share/octavia").expanduser()
    """Where a machine of its own keeps database, files, secret and logs."""

    database_url: str | None = None
    """A PostgreSQL to use (postgresql://user:password@host/name); None: `octavia up` runs its own in data_dir."""

    database_pool: int = Field(default=POOL, ge=3)
    """Connections in a process's pool. An API process has one such pool and four connections more, a worker two: all
    processes there may be, and thirty for others, must stay below the server's max_connections."""

    storage_url: str | None = None
    """Where files lie: s3://bucket/prefix, file:///folder; None: the folder data_dir/storage.

    Of an object store the environment says the rest, as obstore reads it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    (or a machine's or pod's role), AWS_REGION, and for another provider than AWS AWS_ENDPOINT (https://…; with
    AWS_ALLOW_HTTP=true also http://…). The bucket needs a lifecycle rule that aborts incomplete multipart uploads after
    a day: those of killed processes stay until then.
    """

    storage_redirect: bool = False
    """Downloads are redirected to the object store, by a link signed for 15 minutes, instead of passing through the
    API: its address must be one that browsers reach, and they name files as they lie there."""

    public_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """Where browsers reach this API, for the links it gives out; None: the address that was asked for the link."""

    download_link_minutes: int = Field(default=60, ge=1)
    """How long a download link is good for, if its maker does not want it shorter."""

    scratch_dir: Path | None = None
    """Where workers keep what they make on the way, a few times the size of a media; None: data_dir/scratch."""

    scratch_room_bytes: int | None = Field(default=None, ge=1)
    """What that folder may hold, where that is less than its file system has: the sizeLimit of a pod's volume, at which
    the pod is evicted. Room on the disk is told by it; None: by the file system."""

    api_host: str = "127.0.0.1"
    """Address the API listens on."""

    api_port: int = 8000
    """Port the API listens on."""

    api_drain_s: float = Field(default=0, ge=0)
    """How long a stopping API process goes on taking requests while /readyz answers 503: as long as its load balancer
    takes to turn away."""

    api_finish_s: int = Field(default=10, ge=1)
    """How long requests under way may then take; a longer upload or download is cut. Event streams end at once, and
    their clients come back with Last-Event-ID."""

    api_keep_alive_s: int = Field(default=75, ge=1)
    """How long an idle connection is kept: longer than load balancers keep theirs (60 s by nginx's and AWS's defaults),
    or they would send requests into connections that are being closed."""

    model_address: str = "127.0.0.1:8101"
    """gRPC address of the model plane (Open Inference Protocol)."""

    log_format: str = Field(default="auto", pattern="^(auto|json|console)$")
    """json, console, or auto: console where a terminal watches, json elsewhere."""

    log_level: str = "INFO"
    """Least severity that is logged."""

    metrics_host: str = "127.0.0.1"
    """Address the metrics are told at: for Prometheus alone, since they ask for no login."""

    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """Port on which a process tells its metrics (/metrics); None: none. `octavia up` gives the worker the next one."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """OpenTelemetry collector (OTLP over HTTP, such as http://127.0.0.1:4318) that spans are sent to; None: none are
    made. The model plane reads it too."""

    trace_share: float = Field(default=1.0, ge=0, le=1)
    """Share of the traces that are sent; the same for API and workers."""

    jwt_secret: SecretStr | None = Field(default=None, min_length=32)
    """Key that signs access tokens, at least 32 characters; None: made once in data_dir/secret, for its owner only."""

    jwt_previous_secrets: list[Annotated[SecretStr, Field(min_length=32)]] = []
    """Keys that signed access tokens until lately: still accepted, while the new jwt_secret takes over. A JSON list."""

    access_token_minutes: int = Field(default=15, ge=1)
    """How long an access token is good for; a refresh token gets the next one."""

    web_token_days: float = Field(default=7, gt=0, le=31)
    """How long a login of the published web frontend (/api) is good for; its pages cannot renew one."""

    demo_account: bool = False
    """Anybody may log in to one shared demo account of the web frontend, which is given 5,000 credits a day at most."""

    session_idle_days: float = Field(default=30, gt=0)
    """A login that is not refreshed for so long ends."""

    session_max_days: float = Field(default=180, gt=0)
    """Every login ends after so long."""

    verify_hours: int = Field(default=24, ge=1)
    """How long the link of a verification e-mail is good for."""

    reset_minutes: int = Field(default=60, ge=1)
    """How long the link of a password reset is good for."""

    trusted_proxies: list[IPv4Network | IPv6Network] = []
    """Networks (CIDR) of our own proxies and load balancers, whose X-Forwarded-For says who is calling."""

    rate_limits_enabled: bool = True
    """Refuse with 429 what is asked for too often."""

    rate_limits: dict[str, str] = {}
    """Limits other than those of orchestrator/rate_limits/rules.py: {"log_in.address": "100/minute"}."""

    max_video_bytes: int = 500 * MIB
    """Largest video upload."""

    max_audio_bytes: int = 100 * MIB
    """Largest audio upload."""

    max_subtitle_bytes: int = 10 * MIB
    """Largest subtitle upload."""

    max_duration_s: float = 36_000
    """Longest media, in seconds."""

    user_storage_bytes: int = Field(default=10 * 1024 * MIB, ge=0)
    """What a user's media may take in all, together with what their open uploads have announced."""

    open_uploads_per_user: int = Field(default=20, ge=1)
    """Uploads a user may have on their way at once."""

    upload_hours: float = Field(default=24, gt=0)
    """A resumable upload that gets no byte for so long ends, and what it sent is deleted."""

    header_timeout_s: float = Field(default=20, gt=0)
    """How long a request's headers may take."""

    body_grace_s: float = Field(default=30, gt=0)
    """How long a request's body may stay away in all; what it sends gives it more time again (body_bytes_per_s)."""

    body_bytes_per_s: float = Field(default=1024, gt=0)
    """The rate above which a request's body may go on for ever."""

    model_wait_s: float = 600
    """How long a job waits for a model plane that does not answer before it fails."""

    stale_after_s: float = 30
    """A worker without a heartbeat for this long is taken for dead and its work is taken over."""

    jobs_per_worker: int = Field(default=8, ge=1)
    """Jobs a worker process carries at once: so many that cost credits, and as many that cost none."""

    chunks_per_worker: int = Field(default=16, ge=1)
    """Windows and passages a worker process works on at once."""

    media_per_worker: int = Field(default=2, ge=1)
    """Files a worker process reads or puts together at once, each with a process of ffmpeg."""

    paid_share: float = Field(default=0.75, gt=0, lt=1)
    """Share of a worker's places for jobs that cost credits while others wait too. What one leaves, the other takes."""

    time_limits: dict[StepName, Limit] = {}
    """Time limits other than those of orchestrator/jobs/limits.py: {"render": {"seconds": 60, "per_second": 5}}."""

    retry_hours: float = Field(default=24, ge=0)
    """How long a failed or cancelled job can be tried again: what it has done is kept, and deleted then."""

    workflow_days: float = Field(default=30, ge=1)
    """How long the queue keeps the workflows of a job, mail or webhook that has ended, for people to look at."""

    read_back: ReadBack = "sample"
    """Whether Whisper listens to finished dubs, for the quality report, where a job does not say: none, sample (eight
    sentences and 40 s of speech at most), full (takes about as long as hearing the original did)."""

    preview_share: float = Field(default=0.2, ge=0, le=1)
    """Share of a dub's passages, from the first on, that can be heard before it is completed: one at least. 0: none."""

    drain_s: int = 25
    """How long a stopping worker lets running work end before handing it over."""

    sse_heartbeat_s: float = 15
    """Silence on an event stream after which a comment is sent, so that proxies keep the connection."""

    streams_per_user: int = Field(default=40, ge=1)
    """Event streams a user may have open at once at one API process; GET /v1/events follows all jobs by one."""

    web_url: str = Field(default="http://localhost:3000", pattern=r"^https?://[^\s/]+(/\S*)?$")
    """Where the web frontend lives: links in e-mails lead there, and its pages may call the API."""

    web_origins: list[Annotated[str, Field(pattern=r"^https?://[^\s/]+/?$")]] = []
    """Further origins whose pages may call the API from a browser, as a JSON list: ["https://beta.example.org"]."""

    mail_from: str = Field(default="Octavia <noreply@localhost>", pattern=MAILBOX)
    """Sender of e-mails."""

    smtp_host: str | None = None
    """Mail server; None: mails are written to data_dir/outbox and their links are logged, for development."""

    smtp_port: int | None = None
    """Port of the mail server; None: 587 with starttls, 465 with tls, 25 with none."""

    smtp_username: str | None = None
    """Whom to log in as at the mail server; None: no login."""

    smtp_password: SecretStr | None = None
    """The password to it. Never sent unencrypted, but to this machine itself."""

    smtp_tls: SmtpTls = "starttls"
    """Encryption to the mail server: starttls (insisted on), tls from the first byte, or none."""

    smtp_timeout_s: float = Field(default=60, gt=0)
    """How long one mail may take from connecting to the server's acceptance."""

    webhooks_per_user: int = Field(default=10, ge=0)
    """Webhook endpoints a user may have."""

    webhook_timeout_s: float = Field(default=15, gt=0)
    """How long one delivery to a webhook endpoint may take, from looking up its name to its answer."""

    webhook_ports: list[Annotated[int, Field(ge=1, le=65_535)]] = [443, 8443]
    """Ports that webhooks may be sent to, a JSON list."""

    webhook_blocked: list[IPv4Network | IPv6Network] = []
    """Public networks (CIDR) that webhooks must not be sent to, such as one's own. What is not public never is."""

    webhooks_local: bool = False
    """Webhooks may go to this machine, unencrypted and at any port: for development. Refused in production mode."""

    retention_hours: dict[Kept, Annotated[float, Field(gt=0)]] = {}
    """How long files are kept other than orchestrator/retention/rules.py says: {"audio_translation": 48}."""

    mode: Mode = "development"
    """production: the start fails with a list of what is missing or fit for development only."""

    billing: bool = False
    """Jobs cost credits, which users buy at Polar.sh. The model plane reads it too: no weights but cleared ones."""

    sign_up_credits: int = Field(default=0, ge=0)
    """Credits granted to a new account when its address is verified."""

    test_credits: bool = False
    """Users may grant themselves credits, for development. Refused in production mode."""

    prices: dict[JobKind, Price] = {}
    """Prices other than those of orchestrator/credits/prices.py: {"subtitles": {"credits": 2, "per_minute": 1}}."""

    packages: tuple[Package, ...] = PACKAGES
    """What users can buy once, as a JSON list; each with the id of its product at Polar."""

    plans: tuple[Plan, ...] = ()
    """What users can subscribe to, as a JSON list; each with the id of its product at Polar."""

    polar_server: PolarServer = "sandbox"
    """Which of Polar's systems: each has its own products, users and tokens."""

    polar_url: str | None = Field(default=None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """Another server that speaks Polar's protocol, for development. Refused in production mode."""

    polar_access_token: SecretStr | None = None
    """Organization access token (polar_oat_…) with the scopes of `octavia billing check`."""

    polar_webhook_secrets: list[Annotated[SecretStr, Field(min_length=8)]] = []
    """Secrets of the webhook endpoint at Polar, a JSON list: the newest, and while it is rotated the one before."""

    polar_version: str = Field(default="2026-04", pattern=r"^\d{4}-\d{2}$")
    """Version of Polar's API that is asked for."""

    polar_timeout_s: float = Field(default=10, gt=0)
    """How long one request to Polar may take."""

    reconcile_minutes: int = Field(default=15, ge=1, le=59)
    """How often Polar's orders, refunds, disputes and subscriptions are compared with ours."""

    @property
    def max_upload_bytes(self) -> int:
        """The largest of the limits: what may be read before the kind of a file is known."""
        return max(self.max_video_bytes, self.max_audio_bytes, self.max_subtitle_bytes)

    @property
    def scratch_root(self) -> Path:
        """The folder in which each worker process has a scratch folder of its own."""
        return (self.scratch_dir or self.data_dir / "scratch").expanduser()

    def signing_key(self) -> str:
        """The key of access tokens: the setting, or the one kept in data_dir/secret (made on first use, mode 0600)."""
        if self.jwt_secret is not None:
            return self.jwt_secret.get_secret_value()
        return _kept_secret(self.data_dir / "secret")


def _kept_secret(path: Path) -> str:
    """The secret in a file; where there is none, one is made. Of several processes at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


@lru_cache
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
