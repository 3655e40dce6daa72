"""Requests and answers about jobs."""

from datetime import UTC, datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.dubbing.balance import Mix
from orchestrator.dubbing.loudness import Target
from orchestrator.jobs import messages
from orchestrator.jobs.kinds import DUBBED, OF_SUBTITLES, SOUND_FORMATS, SPOKEN, WITHOUT_TARGET
from orchestrator.jobs.models import JobEvent
from orchestrator.jobs.subtitling import check_options
from orchestrator.languages import Language
from orchestrator.media.audio import AudioFormat
from orchestrator.subtitles.rules import ProfileName

Kind = Literal["video_translation", "audio_translation", "subtitles", "subtitle_translation", "subtitle_to_audio"]
SubtitleFormat = Literal["srt", "vtt", "ass", "txt", "json"]
Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Stage = Literal["extracting", "transcribing", "translating", "synthesizing", "merging"]

MOST_TARGETS = 20
MOST_SPEAKERS = 20


class JobOptions(BaseModel):
    """What may be chosen beyond the languages.

    `voice`: one of GET /v1/languages; chosen for you when left out. `format`: of the sound file that audio_translation
    and subtitle_to_audio give, mp3 when left out. `formats`: of the subtitles, srt and vtt when left out; a translated
    subtitle file is written in its own format and, without its tags, in these; txt are paragraphs without times, json
    cues with their words. `subtitle_profile`: whose rules they keep, plain when left out, netflix, bbc or ted; a
    translated file keeps its own times all the same, and its other formats are cut anew only where this is given.
    `word_timing`: in vtt each word of the original has its time. `burn_in`: the subtitles are painted into the picture
    of a video_translation, which is encoded anew for it, instead of lying in it as a track. `mix`: the dub takes the
    place of the original's sound (replace, when left out), speaks over it while it is turned down (voice_over), or has
    its music and noises under it without its voices (keep_background, where GET /v1/languages lists it). `loudness` of
    a dub in LUFS: -16 when left out, -23 for broadcasting (EBU R128), -14 for streaming. `read_back`: whether Whisper
    listens to the finished dub and the quality report says how it differs from what was said: to all of it (true), to
    none of it (false), or when left out as the service is set, usually to a sample of at most 40 s. `gender`: of
    the voice, where there is a choice and none is named. `speakers`: how many people speak, where you know it and
    speakers are told apart (GET /v1/languages says whether they are): each gets a voice of their own while there are
    any, and in a file of more than ten minutes they are known again more surely. `clone_voices`: each speaker's own
    voice, from the cleanest seconds of them; it needs `cloning_consent`, your statement that everybody whose voice is
    cloned has agreed to it, which is recorded. `project_id`: a mark of yours, of which nothing depends.
    """

    model_config = ConfigDict(extra="forbid")

    voice: str | None = Field(default=None, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")
    format: AudioFormat | None = None
    formats: list[SubtitleFormat] | None = Field(default=None, min_length=1, max_length=5)
    subtitle_profile: ProfileName | None = None
    word_timing: bool | None = None
    burn_in: bool | None = None
    mix: Mix | None = None
    loudness: Target | None = None
    read_back: bool | None = None
    gender: Literal["female", "male"] | None = None
    speakers: int | None = Field(default=None, ge=1, le=MOST_SPEAKERS)
    clone_voices: bool = False
    cloning_consent: bool = False
    project_id: str | None = Field(default=None, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+$")

    @model_validator(mode="after")
    def _one_way_to_a_voice(self) -> Self:
        if self.voice and (self.gender or self.clone_voices):
            raise ValueError("give options.voice or let one be chosen by gender or cloned, not both")
        if self.clone_voices and not self.cloning_consent:
            raise ValueError(
                "options.clone_voices needs options.cloning_consent: true, which states that everybody whose voice is "
                "cloned has agreed to it"
            )
        if self.cloning_consent and not self.clone_voices:
            raise ValueError("options.cloning_consent is for options.clone_voices, which is not asked for")
        return self


class JobRequest(BaseModel):
    """A job on a media. `target_language` is a short way to ask for one of `target_languages`.

    subtitle_translation and subtitle_to_audio work on a subtitle file, the others on video or audio.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    media_id: UUID
    source_language: Language | None = None
    """Detected when left out: by ear, or in a subtitle file from its text, where that is certain."""
    target_languages: list[Language] = Field(default_factory=list, max_length=MOST_TARGETS)
    target_language: Language | None = Field(default=None, exclude=True)
    options: JobOptions = Field(default_factory=JobOptions)

    @model_validator(mode="after")
    def _one_list_of_targets(self) -> Self:
        if self.target_language is not None:
            if self.target_languages:
                raise ValueError("give either target_language or target_languages, not both")
            self.target_languages = [self.target_language]
        twice = {code for code in self.target_languages if self.target_languages.count(code) > 1}
        if twice:
            raise ValueError(f"target_languages names {', '.join(sorted(twice))} more than once")
        if not self.target_languages and self.kind not in WITHOUT_TARGET:
            raise ValueError(
                f"target_languages is needed for {self.kind}: name at least one language to translate into"
            )
        return self

    @model_validator(mode="after")
    def _options_of_the_kind(self) -> Self:
        if self.options.format and self.kind not in SOUND_FORMATS:
            raise ValueError(f"options.format is for {' and '.join(SOUND_FORMATS)}; {self.kind} gives no sound file")
        check_options(self.kind, self.options)
        if self.options.mix and self.kind not in DUBBED:
            raise ValueError(
                f"options.mix is for {' and '.join(DUBBED)}, whose dub is mixed with the original; {self.kind} has none"
            )
        for name in ("clone_voices", "speakers"):
            if getattr(self.options, name) and self.kind in OF_SUBTITLES:
                raise ValueError(f"options.{name} is for video and audio; in a subtitle file nobody is heard")
        if self.options.clone_voices and self.kind not in DUBBED:
            raise ValueError(f"options.clone_voices is for {' and '.join(DUBBED)}; {self.kind} gives no speech")
        if self.options.gender and self.kind not in SPOKEN:
            raise ValueError(f"options.gender is for {', '.join(SPOKEN)}; {self.kind} gives no speech")
        if self.options.loudness and self.kind not in SPOKEN:
            raise ValueError(f"options.loudness is for {', '.join(SPOKEN)}; {self.kind} gives no speech")
        if self.options.read_back is not None and self.kind not in SPOKEN:
            raise ValueError(f"options.read_back is for {', '.join(SPOKEN)}; {self.kind} gives no speech")
        return self


class Notice(BaseModel):
    """Something to know about a job: `code` for programs, `message` for people."""

    code: str
    message: str


class ArtifactView(BaseModel):
    """A finished file; fetch it at /v1/jobs/{id}/artifacts/{name} until it expires, with its job."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: str
    language: str | None
    content_type: str
    size: int
    sha256: str
    created_at: datetime
    expires_at: datetime | None


class JobView(BaseModel):
    """A job. `counts` are finished and expected units by stage: {"transcribing": [3, 12]}.

    The results of a completed one are kept until `expires_at`; once they are not `available`, asking for them says 410.
    """

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    kind: Kind
    media_id: UUID
    source_language: str | None
    detected_language: str | None
    target_languages: list[str]
    options: JobOptions
    status: Status
    stage: Stage | None
    progress: int
    counts: dict[str, list[int]]
    message: str | None = None
    """What it is doing, in words."""
    queue_position: int | None = None
    """Of a pending job: which one of those that wait will be begun, about; 1 is the next."""
    estimated_finish_at: datetime | None = None
    """Of a job being worked on, by its own speed; null until that is known, and once the time has passed."""
    eta_seconds: int | None = None
    """Seconds until then, as of this answer."""
    error: Notice | None
    warnings: list[Notice]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    credits: int
    """What it costs."""
    regenerates: UUID | None = None
    """Of a regeneration: the job whose files it makes anew."""
    revision: int = 1
    """The revision of the transcript that its files are of."""
    attempt: int
    """1, and one more with each retry."""
    expires_at: datetime | None
    available: bool

    @model_validator(mode="after")
    def _as_of_now(self) -> Self:
        self.message = messages.of_job(self.status, self.message, self.error.model_dump() if self.error else None)
        left = -1.0
        if self.status == "processing" and self.estimated_finish_at is not None:
            left = (self.estimated_finish_at - datetime.now(UTC)).total_seconds()
        if left < 0:
            self.estimated_finish_at = None
        self.eta_seconds = round(left) if left >= 0 else None
        return self


class LineView(BaseModel):
    """What a job costs in one language; null: in the language of the original."""

    language: str | None
    credits: int


class QuoteView(BaseModel):
    """What a job would cost, line by line, and whether the `available` credits are `enough` for it.

    `notices`: what to know of the result beforehand.
    """

    credits: int
    lines: list[LineView]
    available: int
    enough: bool
    notices: list[Notice]


class QualityView(BaseModel):
    """The figures of a dub's quality report that matter most, and what they mean for whoever watches it.

    Null is what was not measured: `not_measured` says why. docs/quality.md explains each figure.
    """

    segments: int
    inside_slot_percent: float | None = None
    """Share of sentences spoken within their time."""
    p95_onset_error_s: float | None = None
    """95 % of the sentences begin at most so late."""
    max_speed: float | None = None
    """Of the voice's natural speed."""
    duration_compliance: float | None = None
    """Mean ratio of the lengths of a sentence in dub and original, 0-1."""
    transcript_confidence: float | None = None
    """Mean probability of a word heard, 0-1."""
    read_back_error_percent: float | None = None
    """Share of the dub that was understood differently when listened to again."""
    integrated_lufs: float | None = None
    true_peak_dbtp: float | None = None
    speech_quality: float | None = None
    """As listeners would rate it, 1-5."""
    speaker_similarity: float | None = None
    """Of the cloned voice that is least like its speaker's, 0-1."""
    subtitle_violations: int = 0
    not_measured: dict[str, str] = Field(default_factory=dict)
    warnings: list[Notice] = Field(default_factory=list)


class JobDetail(JobView):
    """A job with its artifacts, which are there once it is completed, and by language how good its dubs are."""

    quality: dict[str, QualityView] = Field(default_factory=dict)
    artifacts: list[ArtifactView] = Field(default_factory=list)


class JobPage(BaseModel):
    """Newest first; `next_cursor` goes into `cursor` for the next page."""

    items: list[JobView]
    next_cursor: UUID | None


class LogEntry(BaseModel):
    """A step of a job in words. `type`: progress, warning, completed, failed or cancelled."""

    id: int
    at: datetime
    type: str
    message: str

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        return cls(id=event.id, at=event.at, type=event.type, message=messages.of_event(event.type, event.data))


class LogPage(BaseModel):
    """In order; `next_cursor` goes into `cursor` for the next page."""

    items: list[LogEntry]
    next_cursor: int | None


class ArtifactList(BaseModel):
    items: list[ArtifactView]


class RenditionView(BaseModel):
    """A segment in a target language. Seconds; `overflow` is by how much the speech runs past its slot."""

    model_config = ConfigDict(from_attributes=True)

    language: str
    text: str
    score: float | None
    voice: str | None
    onset: float | None
    seconds: float | None
    speed: float | None
    overflow: float | None


class SegmentView(BaseModel):
    """A sentence or clause of the original, absolute seconds in the media."""

    index: int
    passage: int
    start: float
    end: float
    language: str
    speaker: str | None
    text: str
    words: list[dict[str, Any]]
    renditions: list[RenditionView]


class SegmentPage(BaseModel):
    """In order; `next_cursor` goes into `cursor` for the next page."""

    items: list[SegmentView]
    next_cursor: int | None


class PreviewView(BaseModel):
    """A passage of a dub that can be heard already, `seconds` long; `start` and `end` in the media.

    Fetch it at /v1/jobs/{id}/previews/{language}/{passage}.
    """

    model_config = ConfigDict(from_attributes=True)

    language: str
    passage: int
    start: float
    end: float
    seconds: float


class PreviewList(BaseModel):
    """By language and in order. Until the job is completed only the first `share` of the passages is offered."""

    share: float
    items: list[PreviewView]


class RouteView(BaseModel):
    """A pair that can be translated: directly or `via` a language, spoken by a `voice` or not at all."""

    source: str
    target: str
    via: str | None
    toy: bool
    voice: str | None
    stand_in: bool


class VoiceView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    name: str
    language: str
    gender: str | None
    licence: str
    paid_use: bool
    speakers: list[str] = Field(default_factory=list)
    """Of a voice with several: ask for NAME/SPEAKER."""
    cloning: str | None = None
    """How it speaks like somebody else's clip; null where it cannot."""


class Languages(BaseModel):
    """What the loaded models can do: languages understood, pairs translated, voices, ways to mix a dub."""

    heard: list[str]
    routes: list[RouteView]
    voices: list[VoiceView]
    mixes: list[Mix]
    speakers_told_apart: bool
    """Whether each speaker gets a voice of their own."""
