"""The voices there are, and previews: each text is spoken once, kept, and paid for once by each user who hears it."""

import asyncio
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import soundfile
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from orchestrator.capabilities import Capabilities, Voice, base
from orchestrator.context import AppContext
from orchestrator.credits import ledger
from orchestrator.credits.errors import InsufficientCreditsError
from orchestrator.credits.models import CreditEntry
from orchestrator.credits.prices import quote
from orchestrator.errors import OctaviaError
from orchestrator.idempotency import KeyReusedError
from orchestrator.inference import Speech, Utterance
from orchestrator.signed_links import LinkRevokedError, check, link_keys, signature
from orchestrator.storage import Storage
from orchestrator.voices.models import PreviewRequestKey, VoicePreview
from orchestrator.voices.samples import sample

log = structlog.get_logger(__name__)

LONGEST_TEXT = 300
LINK_LIFETIME = timedelta(hours=1)
KEPT = timedelta(days=30)
"""A preview nobody asks for so long is deleted."""


class ModelsAwayError(OctaviaError):
    def __init__(self) -> None:
        super().__init__("models_unavailable", "The models do not answer right now. Try again in a few seconds.", 503)


class NoSuchVoiceError(OctaviaError):
    def __init__(self, wanted: str) -> None:
        super().__init__("no_voice", f"There is no voice '{wanted[:100]}'. Choose one of the list.", 404)


class UnfitTextError(OctaviaError):
    def __init__(self, what: str) -> None:
        super().__init__("unfit_text", what, 422)


@dataclass(frozen=True, slots=True)
class Preview:
    """Which one it is, what it cost this time, and what the user has left."""

    key: str
    query: str
    """To be put behind the preview's path, so that it opens without a token."""
    voice: Voice
    language: str
    seconds: float
    credits: int
    available: int


async def known(context: AppContext) -> Capabilities:
    """Raises ModelsAwayError."""
    found = await context.backends.capabilities()
    if found is None:
        raise ModelsAwayError
    return found


async def preview(
    context: AppContext, user_id: UUID, name: str, language: str | None, text: str | None, request_key: str | None
) -> Preview:
    """A voice says a text, or its sample sentence. Nothing is spent unless there is something to hear.

    The same is paid for once with or without a key; `request_key` is refused for anything but the first it came with.

    Raises ModelsAwayError, NoSuchVoiceError, UnfitTextError, KeyReusedError, InsufficientCreditsError,
    ModelPlaneUnavailableError, ModelRefusedError.
    """
    voice = _voice(await known(context), name, language)
    language = language or voice.language
    said = _checked(text) if text is not None else sample(language)
    utterance = Utterance(said, language, voice.name)
    key = hashlib.sha256(json.dumps([voice.name, language, said]).encode()).hexdigest()
    price = quote("voice_preview", [language], 0.0, context.settings.prices).credits if context.settings.billing else 0
    await _claim(context, user_id, request_key, key)
    await _insist_on_credits(context, user_id, key, price)
    kept = await _kept(context, key) or await _spoken(context, key, utterance)
    async with context.sessions.begin() as session:
        paid = await _pay(session, user_id, key, price)
        left = (await ledger.balance(session, user_id)).available
    return Preview(key, _signed(context, key), voice, language, kept.seconds, paid, left)


def _path(key: str) -> str:
    """What a link is signed for, whatever surface it is of."""
    return f"voice preview {key}"


def _signed(context: AppContext, key: str) -> str:
    expires = int((datetime.now(UTC) + LINK_LIFETIME).timestamp())
    return f"expires={expires}&signature={signature(link_keys(context.settings)[0], _path(key), expires)}"


async def opened(context: AppContext, key: str, expires: int, given: str) -> VoicePreview:
    """The preview of a link. Raises LinkInvalidError, LinkExpiredError, LinkRevokedError."""
    check(link_keys(context.settings), _path(key), expires, given, datetime.now(UTC))
    async with context.sessions() as session:
        kept = await session.get(VoicePreview, key)
    if kept is None:
        raise LinkRevokedError
    return kept


def _voice(there: Capabilities, name: str, language: str | None) -> Voice:
    """The voice of that name. Some pages send a language in place of one: then its voice."""
    voice = there.voice_for(language or name, name) or there.voice_for(name)
    if voice is None:
        raise NoSuchVoiceError(name)
    speakable = {voice.language, base(voice.language), *voice.stand_in_for}
    if language is not None and not speakable & {language, base(language), "*"}:
        raise UnfitTextError(f"The voice '{voice.name}' does not speak '{language}'.")
    return voice


def _checked(text: str) -> str:
    said = " ".join(text.split())
    if not any(letter.isalnum() for letter in said):
        raise UnfitTextError("There is nothing to say: give a text with words, or none for the voice's own sample.")
    if len(said) > LONGEST_TEXT:
        raise UnfitTextError(f"A preview is at most {LONGEST_TEXT} characters long; this text has {len(said)}.")
    return said


async def _claim(context: AppContext, user_id: UUID, request_key: str | None, preview: str) -> None:
    """Note what the request's key stands for. Of two at once the second waits, and finds the first. KeyReusedError."""
    if request_key is None:
        return
    values = {"user_id": user_id, "key": request_key, "preview": preview}
    async with context.sessions.begin() as session:
        await session.execute(insert(PreviewRequestKey).values(**values).on_conflict_do_nothing())
    async with context.sessions() as session:
        noted = await session.get(PreviewRequestKey, (user_id, request_key))
    if noted is not None and noted.preview != preview:
        raise KeyReusedError("a preview of another voice or text")


async def _insist_on_credits(context: AppContext, user_id: UUID, key: str, price: int) -> None:
    """Before anything is spoken: whoever cannot pay keeps no model busy."""
    async with context.sessions() as session:
        if not price or await _is_paid(session, _charge(user_id, key)):
            return
        there = (await ledger.balance(session, user_id)).available
    if there < price:
        raise InsufficientCreditsError(price, there)


def _charge(user_id: UUID, key: str) -> str:
    return f"preview:{user_id}:{key}"


async def _is_paid(session: AsyncSession, charge: str) -> bool:
    paid = sa.select(CreditEntry.id).where(CreditEntry.idempotency_key == charge)
    return await session.scalar(paid) is not None


async def _pay(session: AsyncSession, user_id: UUID, key: str, price: int) -> int:
    """The credits that were taken: none where it is paid already, or another request has paid meanwhile."""
    name = _charge(user_id, key)
    if not price or await _is_paid(session, name):
        return 0
    held = await ledger.hold(session, user_id, price, key=name, reference=name)
    captured = await ledger.capture(session, held.id)
    return held.held_amount if captured else 0


async def _kept(context: AppContext, key: str) -> VoicePreview | None:
    async with context.sessions.begin() as session:
        used = sa.update(VoicePreview).where(VoicePreview.key == key).values(used_at=sa.func.now())
        kept = await session.scalar(used.returning(VoicePreview))
    return kept if kept is not None and await context.storage.exists(kept.storage_key) else None


async def _spoken(context: AppContext, key: str, utterance: Utterance) -> VoicePreview:
    speech = await context.backends.speak(utterance)
    stored = await context.storage.put_bytes(path := f"voices/{key}.mp3", await asyncio.to_thread(_mp3, speech))
    values = {
        "key": key,
        "voice": utterance.voice,
        "language": utterance.language,
        "storage_key": path,
        "size": stored.size,
        "sha256": stored.sha256,
        "seconds": len(speech.samples) / speech.sample_rate,
    }
    statement = insert(VoicePreview).values(**values)
    again = {**values, "used_at": sa.func.now()}
    async with context.sessions.begin() as session:
        kept: VoicePreview | None = await session.scalar(
            statement.on_conflict_do_update(index_elements=["key"], set_=again).returning(VoicePreview)
        )
    if kept is None:
        raise RuntimeError("an upsert gave no row")
    return kept


def _mp3(speech: Speech) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, speech.samples, speech.sample_rate, format="MP3")
    return file.getvalue()


async def forget_unused(make: async_sessionmaker[AsyncSession], storage: Storage) -> None:
    """Delete the previews nobody has asked for in thirty days, and the keys of requests as old."""
    old = VoicePreview.used_at < datetime.now(UTC) - KEPT
    async with make() as session:
        found = (await session.scalars(sa.select(VoicePreview).where(old).order_by(sa.func.random()).limit(100))).all()
    async with make.begin() as session:
        await session.execute(
            sa.delete(PreviewRequestKey).where(PreviewRequestKey.created_at < datetime.now(UTC) - KEPT)
        )
    for preview in found:
        try:
            await storage.delete(preview.storage_key)
        except (OctaviaError, OSError) as error:
            log.warning("an old voice preview was not deleted; tried again later", key=preview.key, error=str(error))
            continue
        async with make.begin() as session:
            await session.execute(sa.delete(VoicePreview).where(VoicePreview.key == preview.key, old))
