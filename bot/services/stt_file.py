"""The recogniser for what was recorded: a file is submitted, and its words are asked for until they are there.

Two steps, so that whoever has to survive a crash in between keeps the name of the transcription and never submits twice
what is being worked on. Must not know calls or jobs. No error tells what was said, or a token.
Source: RTZR's developer pages, "General STT" and "Rate limits".
"""

from typing import Any, Literal, TypeVar

import httpx2
import msgspec

from bot.errors import RecogniserError, RecogniserFull, TranscriptionGone
from bot.services.stt_token import RecogniserRefused, Tokens
from bot.services.tls import trusted
from bot.settings import RtzrSettings

CONNECT_S = 5.0
ANSWER_S = 30.0

CONFIG = {
    "model_name": "sommers",
    "language": "ko",
    "domain": "CALL",
    "use_itn": True,
    "use_disfluency_filter": False,
    "use_profanity_filter": False,
    "use_paragraph_splitter": False,
}
"""As on a stream: every word that was said, as it is written."""


class _Submitted(msgspec.Struct, frozen=True):
    id: str


class _Utterance(msgspec.Struct, frozen=True):
    start_at: int = 0
    msg: str = ""


class _Results(msgspec.Struct, frozen=True):
    utterances: list[_Utterance] = []


class _Transcription(msgspec.Struct, frozen=True):
    status: str
    results: _Results | None = None


_Answer = TypeVar("_Answer")


class Transcriber:
    """The file half of the recogniser's account; `tokens` are shared with its streams."""

    def __init__(self, settings: RtzrSettings, tokens: Tokens) -> None:
        self._url = f"{settings.api_url.rstrip('/')}/v1/transcribe"
        self._tokens = tokens
        self._client = httpx2.AsyncClient(timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S), verify=trusted())

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._client.aclose()

    async def submit(self, wav: bytes) -> str:
        """Have a recording transcribed; returns the transcription's name for `result`.

        RecogniserFull: too many at once; RecogniserRefused: it is no recording, or too long (4 h, 2 GB);
        RecogniserError: not now.
        """
        form = {"config": msgspec.json.encode(CONFIG).decode()}
        answer = await self._ask("POST", self._url, data=form, files={"file": ("recording.wav", wav, "audio/wav")})
        return _decoded(answer, _Submitted).id

    async def result(self, transcription: str) -> list[str] | None:
        """Return what was said, an utterance each, none of them empty; None while it is being transcribed.

        Asked for again within 5 s it is RecogniserFull. TranscriptionGone; otherwise errors as of `submit`.
        """
        if not transcription.replace("-", "").replace("_", "").isalnum():
            raise TranscriptionGone("a name that is none")
        answer = _decoded(await self._ask("GET", f"{self._url}/{transcription}"), _Transcription)
        match answer.status:
            case "completed" if answer.results is not None:
                in_order = sorted(answer.results.utterances, key=lambda utterance: utterance.start_at)
                return [text for utterance in in_order if (text := utterance.msg.strip())]
            case "transcribing":
                return None
            case "failed":
                raise TranscriptionGone("the transcription failed")
            case _:
                raise RecogniserError("a transcription of no known status")

    async def _ask(self, method: Literal["GET", "POST"], url: str, **body: Any) -> httpx2.Response:
        """One request, with a new token when the one at hand is not taken."""
        token = await self._tokens.get()
        answer = await self._send(method, url, token.text, **body)
        if answer.status_code == 401:
            self._tokens.reject(token)
            answer = await self._send(method, url, (await self._tokens.get()).text, **body)
        if answer.status_code == 200:
            return answer
        why = f"{method} of a transcription: HTTP {answer.status_code}"
        if answer.status_code == 429:
            raise RecogniserFull(why)
        if answer.status_code in (404, 410) and method == "GET":
            raise TranscriptionGone(why)
        if answer.status_code in (400, 401, 403, 413):
            raise RecogniserRefused(why)
        raise RecogniserError(why)

    async def _send(self, method: str, url: str, token: str, **body: Any) -> httpx2.Response:
        try:
            return await self._client.request(method, url, headers={"Authorization": f"Bearer {token}"}, **body)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RecogniserError(f"no answer about a transcription: {type(error).__name__}") from error


def _decoded(answer: httpx2.Response, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.MsgspecError as error:
        raise RecogniserError("an answer about a transcription that is none") from error
