"""The OpenAI stand-in: a real HTTP server on the loopback that chats, writes entries and speaks.

It answers from nothing but what it is sent, with delays and faults that can be set while it runs, and reports every
breach of the API. It must not know the bot.
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import h11

from bot.lab import model_answers, model_texts
from bot.lab.http import Connection, PeerGone, Request, converse
from bot.lab.loopback import Loopback
from bot.lab.openai_behaviour import Chat, Faults, Profile, Report
from bot.lab.openai_voice import SPEECH_HZ, speech
from bot.lab.wav import wav_file

KEY = "sk-lab"
SPEECH_PIECE_MS = 40
LONGEST_INPUT = 4096
ROLES = {"system", "developer", "user", "assistant"}
OPTIONS = {"max_tokens", "temperature", "stream_options"}
SLOWEST, FASTEST = 0.25, 4.0


class _Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class OpenAiLab(Loopback):
    """The stand-in on an ephemeral port, or on `port`: `async with OpenAiLab() as lab: lab.url`."""

    def __init__(
        self,
        *,
        port: int = 0,
        key: str = KEY,
        profile: Profile | None = None,
        faults: Faults | None = None,
    ) -> None:
        super().__init__(port)
        self.key = key
        self.profile = profile or Profile()
        self.faults = faults or Faults()
        self.report = Report()
        self.client_left = asyncio.Event()

    @property
    def url(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"{super().url}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.report.connections += 1
        try:
            await converse(reader, writer, self._answer)
        except PeerGone:
            self.report.cancelled += 1
            self.client_left.set()
        except h11.RemoteProtocolError as error:
            self.report.breaches.append(f"not HTTP: {error}")

    async def _answer(self, connection: Connection, request: Request) -> None:
        self.report.requests.append(f"{request.method} {request.path}")
        try:
            await self._route(connection, request)
        except _Refused as refusal:
            await connection.answer(refusal.status, {"error": {"message": str(refusal), "type": "lab"}})

    async def _route(self, connection: Connection, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise _Refused(401, "wrong API key")
        match request.method, request.path:
            case "GET", "/v1/models":
                model = {"id": "lab", "object": "model", "created": 0, "owned_by": "lab"}
                await connection.answer(200, {"object": "list", "data": [model]})
            case "POST", "/v1/chat/completions":
                await self._chat(connection, self._json(request))
            case "POST", "/v1/audio/speech":
                await self._speech(connection, self._json(request))
            case _:
                raise self._breach(404, f"no such route: {request.method} {request.path}")

    def _breach(self, status: int, why: str) -> _Refused:
        self.report.breaches.append(why)
        return _Refused(status, why)

    def _json(self, request: Request) -> dict[str, Any]:
        try:
            value = json.loads(request.body)
        except ValueError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("model"), str) or not value["model"]:
            raise self._breach(400, "not a JSON object with a model")
        return value

    async def _chat(self, connection: Connection, asked: dict[str, Any]) -> None:
        if self.faults.chat_status is not None:
            raise _Refused(self.faults.chat_status, "the fault that was set")
        text, is_entry = self._text(asked)
        chat = Chat(sum(len(message["content"].split()) for message in asked["messages"]), is_entry)
        self.report.chats.append(chat)
        self.report.chat_chars += sum(len(message["content"]) for message in asked["messages"])
        if self.faults.never_first_token:
            await asyncio.Event().wait()
        await asyncio.sleep(self.profile.first_token_ms / 1000)
        if self.faults.garbage_chat is not None:
            await connection.begin(200, "text/event-stream" if asked.get("stream") is True else "application/json")
            await connection.send(self.faults.garbage_chat.encode())
            await connection.end()
            return
        if self.faults.empty_chat:
            text = ""
        if asked.get("stream") is True:
            await self._chat_stream(connection, asked, text, chat)
            return
        await asyncio.sleep(len(text.split()) * self.profile.token_ms / 1000)
        chat.completion_tokens = len(text.split())
        message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        await connection.answer(200, _completion("chat.completion", asked["model"], [message], chat))
        chat.is_done = True

    def _text(self, asked: dict[str, Any]) -> tuple[str, bool]:
        """What the model answers, and whether that is an entry. Refuses what the API would."""
        messages = asked.get("messages")
        if not isinstance(messages, list) or not messages:
            raise self._breach(400, "no messages")
        for message in messages:
            if not isinstance(message, dict) or message.get("role") not in ROLES:
                raise self._breach(400, "a message without a known role")
            if not isinstance(message.get("content"), str) or not message["content"].strip():
                raise self._breach(400, "a message without content")
        users = [message["content"] for message in messages if message["role"] == "user"]
        if not users or messages[-1]["role"] != "user":
            raise self._breach(400, "the last message is not the user's")
        if self.faults.no_options and not asked.keys().isdisjoint(OPTIONS):
            raise _Refused(400, "unsupported parameter")
        if (answer := model_answers.answer(users[-1])) is not None:
            return answer, False
        json_mode = (asked.get("response_format") or {}).get("type") == "json_object"
        if json_mode and self.faults.no_json_mode:
            raise _Refused(400, "response_format is not supported")
        about_json = any("json" in message["content"].lower() for message in messages)
        if json_mode and not about_json:
            raise self._breach(400, "response_format json_object, but no message says JSON")
        instructed = any("json" in message["content"].lower() for message in messages if message["role"] != "user")
        if not json_mode and not instructed:
            return model_texts.reply(users[-1], invents=self.faults.invents), False
        text = model_texts.entry(users, invents=self.faults.invents)
        return (text[: len(text) // 2] if self.faults.bad_json else text), True

    async def _chat_stream(self, connection: Connection, asked: dict[str, Any], text: str, chat: Chat) -> None:
        """Send `text` as server-sent events, a word each, and what it cost if that was asked for."""

        async def send(*choices: dict[str, Any], usage: Chat | None = None) -> None:
            completion = _completion("chat.completion.chunk", asked["model"], choices, usage)
            await connection.send(f"data: {json.dumps(completion, ensure_ascii=False)}\n\n".encode())

        await connection.begin(200, "text/event-stream")
        await send({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None})
        began = time.monotonic()
        for sent, word in enumerate(text.split(" ")):
            await _until(began + sent * self.profile.token_ms / 1000)
            if sent == self.faults.stall_after_tokens:
                await asyncio.Event().wait()
            if sent == self.faults.cut_after_tokens:
                connection.cut()
                return
            token = word if sent == 0 else " " + word
            await send({"index": 0, "delta": {"content": token}, "finish_reason": None})
            chat.completion_tokens += 1
        await send({"index": 0, "delta": {}, "finish_reason": "stop"})
        if (asked.get("stream_options") or {}).get("include_usage") is True:
            await send(usage=chat)
        await connection.send(b"data: [DONE]\n\n")
        await connection.end()
        chat.is_done = True

    async def _speech(self, connection: Connection, asked: dict[str, Any]) -> None:
        if self.faults.speech_status is not None:
            raise _Refused(self.faults.speech_status, "the fault that was set")
        text, form = asked.get("input"), asked.get("response_format", "mp3")
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_INPUT:
            raise self._breach(400, "no input, or too much of it")
        if not isinstance(asked.get("voice"), str):
            raise self._breach(400, "no voice")
        if form not in ("pcm", "wav"):
            raise self._breach(400, f"this stand-in speaks pcm and wav, not {form}")
        speed = asked.get("speed", 1.0)
        if not isinstance(speed, int | float) or not SLOWEST <= speed <= FASTEST:
            raise self._breach(400, f"speed must be {SLOWEST} to {FASTEST}")
        if not isinstance(asked.get("instructions", ""), str):
            raise self._breach(400, "instructions that are no text")
        self.report.speeches += 1
        self.report.spoken_chars += len(text)
        sound = await asyncio.to_thread(speech, text, speed)
        if form == "wav":
            sound = wav_file(sound, SPEECH_HZ)
        if self.faults.never_first_byte:
            await asyncio.Event().wait()
        await asyncio.sleep(self.profile.first_byte_ms / 1000)
        if self.faults.cut_speech_after_bytes == 0:
            connection.cut()
            return
        sound = sound if self.faults.speech_body is None else self.faults.speech_body
        await connection.begin(200, self.faults.speech_type or ("audio/pcm" if form == "pcm" else "audio/wav"))
        async for piece in self._paced(sound):
            await connection.send(piece)
        if self.faults.cut_speech_after_bytes is not None and self.faults.cut_speech_after_bytes < len(sound):
            connection.cut()
            return
        await connection.end()

    async def _paced(self, sound: bytes) -> AsyncIterator[bytes]:
        """Give `sound` out in pieces, at the profile's speed, as far as the faults let it."""
        step = SPEECH_HZ * SPEECH_PIECE_MS // 1000 * 2
        stall, cut = self.faults.stall_speech_after_bytes, self.faults.cut_speech_after_bytes
        end = min(limit for limit in (stall, cut, len(sound)) if limit is not None)
        began = time.monotonic()
        for at in range(0, end, step):
            await _until(began + at / 2 / SPEECH_HZ / self.profile.speech_speed)
            yield sound[at : min(at + step, end)]
        if stall is not None:
            await asyncio.Event().wait()


async def _until(at_s: float) -> None:
    if (left_s := at_s - time.monotonic()) > 0:
        await asyncio.sleep(left_s)


def _completion(kind: str, model: str, choices: Sequence[dict[str, Any]], usage: Chat | None = None) -> dict[str, Any]:
    completion = {"id": "chatcmpl-lab", "object": kind, "created": int(time.time()), "model": model, "choices": choices}
    if usage is None:
        return completion
    counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    return completion | {"usage": counts | {"total_tokens": usage.tokens}}


async def _serve_forever(port: int, key: str, profile: Profile) -> None:
    async with OpenAiLab(port=port, key=key, profile=profile) as lab:
        print(f"OPENAI_BASE_URL={lab.url} OPENAI_API_KEY={key}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run it alone."""
    standard = Profile()
    parser = argparse.ArgumentParser(prog="python -m bot.lab.openai", description="The OpenAI stand-in.")
    parser.add_argument("--port", type=int, default=8802)
    parser.add_argument("--key", default=KEY)
    for name in ("first_token_ms", "token_ms", "first_byte_ms", "speech_speed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(standard, name))
    given = vars(parser.parse_args())
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve_forever(given.pop("port"), given.pop("key"), Profile(**given)))


if __name__ == "__main__":
    main()
