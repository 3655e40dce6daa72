"""Every call of the published frontend's pages: what they send, and which fields of the answer they read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

STATUS = frozenset({"pending", "processing", "completed", "failed", "cancelled"})
PAID = frozenset({"pending", "completed", "failed"})
NUMBER = (int, float)

Wanted = type | tuple[type, ...] | frozenset[str] | str
"""A field's type, the words it may be, or its value: what is in braces is filled in."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as a page sends it. `sends`: "json", "form" (multipart) or nothing.

    `file`: which of the tour's files goes into the field `file`. `reads`: fields of a JSON answer by their dotted path;
    `*` stands for each item of a list. `gives`: how the content type of any other answer begins.
    """

    route: str
    path: str = ""
    sends: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)
    file: str = ""
    reads: Mapping[str, Wanted] = field(default_factory=dict)
    gives: str = ""
    login: str = "user"
    """Whose token goes with it: "user", "spare" (another login, which ends), "leaver" (an account that goes), "" """

    @property
    def method(self) -> str:
        first = self.route.partition(" ")[0]
        return first if first.isupper() else "POST" if self.sends else "GET"

    @property
    def address(self) -> str:
        return self.path or self.route.partition(" ")[2]


USER: dict[str, Wanted] = {
    "user.id": str,
    "user.email": str,
    "user.name": str,
    "user.credits": NUMBER,
    "user.verified": bool,
}
LOGGED_IN: dict[str, Wanted] = {"token": str, **USER}
STARTED: dict[str, Wanted] = {"job_id": str, "data.job_id": str, "status": STATUS}
BOTH = ("", "data.")
JOB_FIELDS: dict[str, Wanted] = {
    "job_id": str,
    "id": str,
    "type": str,
    "status": STATUS,
    "progress": int,
    "status_message": str,
    "message": str,
    "target_language": str,
    "source_language": str,
    "language": str,
    "original_filename": str,
    "total_chunks": int,
    "processed_chunks": int,
    "chunks_processed": int,
    "chunk_size": NUMBER,
    "available_chunks": list,
    "segment_count": int,
    "created_at": str,
}
JOB: dict[str, Wanted] = {prefix + name: wanted for prefix in BOTH for name, wanted in JOB_FIELDS.items()}
CHUNK: dict[str, Wanted] = {
    "available_chunks.*.id": int,
    "available_chunks.*.start_time": NUMBER,
    "available_chunks.*.duration": NUMBER,
    "available_chunks.*.preview_url": str,
    "available_chunks.*.status": "completed",
    "available_chunks.*.confidence_score": float,
    "available_chunks.*.quality_rating": frozenset({"excellent", "good", "fair", "poor"}),
}
LISTED_FIELDS: dict[str, Wanted] = {
    "id": str,
    "job_id": str,
    "type": str,
    "status": STATUS,
    "progress": int,
    "original_filename": str,
    "source_language": str,
    "target_language": str,
    "language": str,
    "created_at": str,
    "message": str,
    "processed_chunks": int,
    "total_chunks": int,
    "processing_time_seconds": NUMBER,
    "segment_count": int,
}
LISTED: dict[str, Wanted] = {f"data.jobs.*.{name}": wanted for name, wanted in LISTED_FIELDS.items()}
CHECKOUT: dict[str, Wanted] = {
    prefix + name: wanted
    for prefix in BOTH
    for name, wanted in {"checkout_url": str, "session_id": str, "transaction_id": str, "test_mode": bool}.items()
}
SETTINGS: dict[str, Wanted] = {
    "data.settings.notifications.translationComplete": bool,
    "data.settings.notifications.emailNotifications": bool,
    "data.settings.notifications.weeklySummary": bool,
    "data.settings.language": frozenset({"English", "Spanish", "French", "German"}),
    "data.settings.time_zone": frozenset({"UTC (GMT+0)", "EST (GMT-5)", "PST (GMT-8)", "CET (GMT+1)"}),
}
VOICE: dict[str, Wanted] = {"voices.*.voice_id": str, "voices.*.name": str}

ENTERING = (
    Call(
        "POST /api/auth/signup",
        sends="json",
        fields={"email": "{email}", "password": "{password}", "name": "Elinor"},
        reads={"requires_verification": bool, "message": str, "user.email": "{email}", "user.name": str},
        login="",
    ),
    Call(
        "POST /api/auth/resend-verification",
        sends="json",
        fields={"email": "{email}"},
        reads={"message": str},
        login="",
    ),
    Call("POST /api/auth/verify", sends="form", fields={"token": "{mailed}"}, reads=LOGGED_IN, login=""),
    Call(
        "POST /api/auth/login",
        sends="json",
        fields={"email": "{email}", "password": "{password}"},
        reads=LOGGED_IN,
        login="",
    ),
    Call(
        "POST /api/auth/demo-login",
        reads={**LOGGED_IN, "user.email": "demo@octavia.com"},
        login="",
    ),
    Call("POST /api/auth/logout", login="spare"),
)

USER_CALLS = (
    Call("GET /api/user/profile", reads={**USER, "user.created_at": str}),
    Call("GET /api/user/settings", reads=SETTINGS),
)

PAYING = (
    Call(
        "POST /api/payments/create-session",
        sends="json",
        fields={"package_id": "starter_credits"},
        reads=CHECKOUT,
    ),
    Call(
        "GET /api/payments/status/{session}",
        path="/api/payments/status/{session}",
        reads={"status": PAID, "credits": NUMBER},
    ),
    Call(
        "GET /api/payments/transactions",
        reads={
            "transactions": list,
            "data.transactions.*.id": str,
            "data.transactions.*.description": str,
            "data.transactions.*.created_at": str,
            "data.transactions.*.credits": NUMBER,
            "data.transactions.*.amount": NUMBER,
            "data.transactions.*.status": str,
        },
    ),
    Call("POST /api/payments/add-test-credits", sends="json", fields={"credits": 10}, reads={"data": dict}),
)

STARTING = {
    "video": Call(
        "POST /api/translate/video",
        sends="form",
        fields={"target_language": "es", "separate": "false", "project_id": "p-7"},
        file="video",
        reads=STARTED,
    ),
    "enhanced": Call(
        "POST /api/translate/video/enhanced",
        sends="form",
        fields={"target_language": "es", "chunk_size": "10"},
        file="clip",
        reads=STARTED,
    ),
    "audio": Call(
        "POST /api/translate/audio",
        sends="form",
        fields={"source_lang": "auto", "target_lang": "es"},
        file="audio",
        reads=STARTED,
    ),
    "subtitles": Call(
        "POST /api/translate/subtitles",
        path="/api/translate/subtitles?language=en&format=vtt&project_id=p-7",
        sends="form",
        file="clip",
        reads=STARTED,
    ),
    "translated": Call(
        "POST /api/translate/subtitle-file",
        path="/api/translate/subtitle-file?sourceLanguage=en&targetLanguage=es&format=srt",
        sends="form",
        file="cues",
        reads={
            **STARTED,
            "status": "completed",
            "download_url": "/api/translate/download/subtitles/{translated}",
            "segment_count": int,
            "source_language": "en",
            "target_language": "es",
            "remaining_credits": NUMBER,
        },
    ),
    "spoken": Call(
        "POST /api/generate/subtitle-audio",
        sends="form",
        fields={
            "source_language": "en",
            "target_language": "es",
            "voice": "Aria (Female)",
            "output_format": "ogg",
        },
        file="cues",
        reads=STARTED,
    ),
}

READING = (
    Call(
        "GET /api/translate/jobs/{id}/status",
        path="/api/translate/jobs/{video}/status",
        reads={**JOB, **CHUNK, "status": "completed", "download_url": "/api/download/video/{video}"},
    ),
    Call(
        "GET /api/jobs/{id}/status",
        path="/api/jobs/{subtitles}/status",
        reads={
            **JOB,
            "status": "completed",
            "format": "srt",
            "download_url": "{api}/api/translate/download/subtitles/{subtitles}",
        },
    ),
    Call(
        "GET /api/generate/subtitle-audio/status/{id}",
        path="/api/generate/subtitle-audio/status/{spoken}",
        reads={"status": "completed", "progress": int, "download_url": "/api/download/subtitle-audio/{spoken}"},
    ),
    Call("GET /api/translate/jobs/history", reads={**LISTED, "data.total": int, "jobs": list, "total": int}),
    Call(
        "GET /api/translate/subtitles/review/{id}",
        path="/api/translate/subtitles/review/{subtitles}",
        reads={"content": str, "language": str, "format": "vtt", "download_url": str},
    ),
    Call("GET /api/jobs/{id}/sample", path="/api/jobs/{video}/sample", gives="video/mp4"),
)

DOWNLOADING = (
    Call("GET /api/download/video/{id}", path="/api/download/video/{video}", gives="video/mp4"),
    Call("GET /api/download/audio/{id}", path="/api/download/audio/{audio}", gives="audio/mpeg"),
    Call("GET /api/download/{id}", path="/api/download/{audio}", gives="audio/mpeg"),
    Call("GET /api/download/subtitle-audio/{id}", path="/api/download/subtitle-audio/{spoken}", gives="audio/ogg"),
    Call(
        "GET /api/generate/subtitle-audio/download/{id}",
        path="/api/generate/subtitle-audio/download/{spoken}",
        gives="audio/ogg",
    ),
    Call("GET /api/download/chunk/{id}/{n}", path="/api/download/chunk/{video}/0", gives="audio/"),
    Call(
        "GET /api/translate/download/subtitles/{id}",
        path="/api/translate/download/subtitles/{subtitles}",
        gives="application/x-subrip",
    ),
)

VOICES = (
    Call(
        "GET /api/voices/all",
        reads={
            f"voices_by_language.en.*.{name}": str
            for name in ("name", "voice_id", "type", "language_code", "gender", "sample_text")
        },
        login="",
    ),
    Call("GET /api/voices/{lang}", path="/api/voices/en", reads=VOICE, login=""),
    Call(
        "POST /api/voices/preview",
        sends="form",
        fields={"voice_id": "{voice}", "text": "Good morning.", "language": "en"},
        reads={"preview_url": str, "credits_remaining": NUMBER},
    ),
    Call("GET the preview file", path="{preview}", gives="audio/", login=""),
)

PUBLISHED = (*ENTERING, *USER_CALLS, *PAYING, *STARTING.values(), *READING, *DOWNLOADING, *VOICES)
"""The live routes of the published frontend."""

SUCCESSOR = (
    Call(
        "GET /api/progress/{id}",
        path="/api/progress/{audio}",
        reads={"progress": int, "status": STATUS, "message": str, "job_id": str},
    ),
    Call("POST /api/cancel/{id}", path="/api/cancel/{open}", reads={"status": "cancelled"}),
    Call(
        "PUT /api/user/profile",
        sends="json",
        fields={"name": "Marianne", "email": "{email}"},
        reads={"user.name": "Marianne"},
    ),
    Call(
        "PUT /api/user/settings",
        sends="json",
        fields={
            "notifications": {"translationComplete": True, "emailNotifications": True, "weeklySummary": False},
            "language": "German",
            "time_zone": "CET (GMT+1)",
        },
        reads={"message": str, **SETTINGS, "settings.language": "German"},
    ),
    Call(
        "POST /api/user/change-password",
        sends="json",
        fields={"current_password": "{password}", "new_password": "a cottage at Barton"},
        login="leaver",
    ),
    Call("DELETE /api/user/account", login="leaver"),
    Call("a mark of a project", path="/api/translate/jobs/{video}/status", reads={"project_id": "p-7"}),
    Call("a mark in the query", path="/api/jobs/{subtitles}/status", reads={"project_id": "p-7"}),
    Call(
        "a translated file's status",
        path="/api/translate/jobs/{translated}/status",
        reads={"status": "completed", "type": "subtitle_translation", "segment_count": int},
    ),
    Call(
        "a translated file's review",
        path="/api/translate/subtitles/review/{translated}",
        reads={"content": str, "language": "es"},
    ),
    Call(
        "a translated file",
        path="/api/translate/download/subtitles/{translated}",
        gives="application/x-subrip",
    ),
    Call("a project's download", path="/api/translate/download/video/{spoken}", gives="audio/ogg"),
    Call(
        "a preview by the language's code",
        path="/api/voices/preview",
        sends="form",
        fields={"voice_id": "es", "text": "Buenos días.", "language": "es"},
        reads={"preview_url": str},
    ),
)
"""What the frontend's successor calls beside those."""


def by_route(route: str) -> Call:
    return next(call for call in (*PUBLISHED, *SUCCESSOR) if call.route == route)
