import ssl
from typing import Any

import httpx2
import pytest

from bot.services import stt_account
from bot.services.carrier import Carrier
from bot.services.openai_client import connect
from bot.services.stt_account import Account
from bot.services.stt_file import Transcriber
from bot.services.stt_stats import SttStats
from bot.services.stt_token import Token, Tokens
from bot.services.tls import trusted
from bot.settings import OpenAiSettings, RtzrSettings, TwilioSettings


async def test_the_certificates_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ssl.SSLContext] = []
    make = httpx2.create_ssl_context

    def counted() -> ssl.SSLContext:
        read.append(make())
        return read[-1]

    monkeypatch.setattr(httpx2, "create_ssl_context", counted)
    trusted.cache_clear()
    rtzr = RtzrSettings(client_id="id", client_secret="secret")
    tokens = Tokens(rtzr)
    clients = [tokens, Transcriber(rtzr, tokens), connect(OpenAiSettings(api_key="key"))]
    clients.append(Carrier(TwilioSettings(account_sid="AC1", auth_tokens=("token",))))
    for client in clients:
        await client.close()
    assert len(read) == 1
    assert read[0].verify_mode is ssl.CERT_REQUIRED and read[0].check_hostname


@pytest.mark.parametrize(
    ("api_url", "is_tls"),
    [("https://recogniser.example", True), ("HTTPS://recogniser.example", True), ("http://127.0.0.1:9", False)],
    ids=["https", "capitals", "http"],
)
async def test_all_sockets_of_the_recogniser_trust_the_same(
    monkeypatch: pytest.MonkeyPatch, api_url: str, is_tls: bool
) -> None:
    given: list[Any] = []

    async def connected(url: str, **options: Any) -> object:
        given.append(options["ssl"])
        return object()

    async def token(self: Tokens) -> Token:
        return Token("token", 0)

    monkeypatch.setattr(stt_account, "connect", connected)
    monkeypatch.setattr(Tokens, "get", token)
    settings = RtzrSettings(client_id="id", client_secret="secret", api_url=api_url)
    account = Account(settings, Tokens(settings))
    for _ in range(2):
        await account.connect(SttStats())
    first, second = given
    assert first is second
    assert isinstance(first, ssl.SSLContext) == is_tls
    if is_tls:
        assert first.verify_mode is ssl.CERT_REQUIRED and first.check_hostname
