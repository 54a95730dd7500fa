"""What a process has, built from its settings: the store, the recogniser, the models and the voice.

It must not know routes, or what a call does with these.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from bot.audio import second_opinion
from bot.audio.forms import WIDE
from bot.call import Call
from bot.conversation.lines import LINES
from bot.conversation.replies import BuiltinReplies
from bot.conversation.talk_lines import BROWSER
from bot.conversation.texts import prompt
from bot.diary.entries import Scribe
from bot.diary.retention import Retention
from bot.diary.store import Store, keys_of
from bot.doors.browser import NewBrowserCall
from bot.doors.live import LiveCalls, NewCall
from bot.errors import SettingError
from bot.journal import Journal, forget
from bot.line import BrowserLine
from bot.metrics import Metrics
from bot.process import Services
from bot.protocols.browser import BrowserStream
from bot.protocols.browser_messages import Config
from bot.services.carrier import Carrier
from bot.services.engines import OpenAiVoice
from bot.services.llm import ChatModel
from bot.services.replies import Replies
from bot.services.stt import Recogniser
from bot.services.stt_file import Transcriber
from bot.services.tts import Voice
from bot.settings import Settings
from bot.tracing import Tracing

log = logging.getLogger(__name__)

FIRST_LINES = (
    *LINES.greeting_first,
    *LINES.greeting_again,
    *LINES.resumed,
    *LINES.resumed_listening,
    *LINES.filler,
)
AGAIN_S = 60.0


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything; the greeting is ready to be spoken. SettingError or StoreError when it cannot be.

    What is open is closed at the end of the block, in reverse order.
    """
    if settings.journal_dir:
        await asyncio.to_thread(_probe, settings.journal_dir)
    keys = keys_of(settings.database_url, settings.diary_keys)
    async with AsyncExitStack() as stack:
        tracing = await asyncio.to_thread(Tracing, settings.otlp_endpoint) if settings.otlp_endpoint else None
        if tracing:
            stack.push_async_callback(tracing.close)
        metrics = Metrics(tracing)
        store = await Store.open(
            settings.database_url, keys, timezone=settings.timezone, most_channels=settings.rtzr.channels
        )
        stack.push_async_callback(store.close)
        recogniser = Recogniser(settings.rtzr, opened=metrics.recogniser_opened, dropped=metrics.recogniser_dropped)
        stack.push_async_callback(recogniser.close)
        transcriber = Transcriber(settings.rtzr, recogniser.tokens)
        stack.push_async_callback(transcriber.close)
        carrier = Carrier(settings.twilio) if settings.twilio.account_sid else None
        if carrier:
            stack.push_async_callback(carrier.close)
        model = ChatModel(settings.openai) if settings.openai else None
        web_model = ChatModel(settings.openai, name="model of the chats") if settings.openai else None
        if web_model:
            stack.push_async_callback(web_model.close)
        replies = Replies(model, BuiltinReplies(), prompt("reply"), fell_back=partial(metrics.fell_back, "reply"))
        stack.push_async_callback(replies.close)
        speech = OpenAiVoice(settings.openai) if settings.openai and settings.tts == "openai" else None
        voice = Voice(speech, fell_back=partial(metrics.fell_back, "voice"))
        stack.push_async_callback(voice.close)
        await voice.prepare(FIRST_LINES)
        opinion = await asyncio.to_thread(second_opinion.shared)
        log.info("voice activity: %s", "Silero is asked when in doubt" if opinion else "without a second opinion")
        yield Services(
            store=store,
            recogniser=recogniser,
            replies=replies,
            scribe=Scribe(model),
            voice=voice,
            max_call_ms=settings.max_call_minutes * 60_000,
            wide_voice=wide_voice_of(voice),
            web_model=web_model,
            journal=partial(Journal.begin, settings.journal_dir, keys=keys) if settings.journal_dir else None,
            forget_journals=partial(forget, settings.journal_dir) if settings.journal_dir else None,
            carrier=carrier,
            transcriber=transcriber,
            retention=Retention(
                store,
                days=settings.retention_days,
                timezone=settings.timezone,
                journal_dir=settings.journal_dir,
                recordings=carrier,
            ),
            metrics=metrics,
        )


async def keep_warm(services: Services) -> None:
    """Open the model's connection and render every fixed line; ask again for lines that the voice could not say."""
    await services.replies.warm()
    while True:
        await services.voice.prepare(LINES.sentences())
        await asyncio.sleep(AGAIN_S)


def _probe(folder: Path) -> None:
    """Make the folder of the journals, and see that a file can be written there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise SettingError("JOURNAL_DIR", f"cannot be written to: {error.strerror}") from error


def wide_voice_of(voice: Voice) -> Voice:
    """The voice for browsers: what is said in one for the first time is rendered then."""
    return voice.also(WIDE, lines=BROWSER.worded(tuple(LINES.sentences())), short=(*LINES.backchannels, *LINES.filler))


def browser_call_factory(services: Services, live: LiveCalls) -> NewBrowserCall:
    """Makes a call of each browser's socket that has said hello; `live` will own it."""

    def new_call(
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        stream: BrowserStream,
        config: Config,
    ) -> Call:
        line = BrowserLine(stream, config, services.wide_voice or wide_voice_of(services.voice))
        return Call(services, send, close, alone=live.alone, line=line)

    return new_call


def call_factory(services: Services, live: LiveCalls) -> NewCall:
    """Makes a call of each media socket; `live` will own it."""

    def new_call(send: Callable[[str], Awaitable[None]], close: Callable[[int], Awaitable[None]]) -> Call:
        return Call(services, send, close, alone=live.alone)

    return new_call
