"""A database behind TLS with a certificate that nobody vouches for, as hosts have it; and what an address may say."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.diary.crypto import Keys
from bot.diary.database import parse_url
from bot.diary.store import Store
from bot.errors import SettingError, StoreError

pytestmark = pytest.mark.postgresql

SSL_REQUEST = bytes.fromhex("0000000804d2162f")  # PostgreSQL's protocol: the first message of a client that wants TLS


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """The server's side, with a self-signed certificate of another name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somewhere.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def behind_tls(url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """An address that leads to the same database, and takes nobody without TLS."""
    target = urlsplit(url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.readexactly(8) == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                there = await asyncio.open_connection(target.hostname, target.port)
                await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield url.replace(f":{target.port}/", f":{port}/")


@pytest.mark.parametrize("query", ["", "?sslmode=require", "?sslmode=prefer", "?ssl=require"])
async def test_what_a_host_gives_is_taken(database_url: str, keys: Keys, context: ssl.SSLContext, query: str) -> None:
    async with behind_tls(database_url, context) as url:
        store = await Store.open(url + query, keys)
        assert (await store.call_arrived("CA1", "+821012345678")).stream == 1
        await store.close()


@pytest.mark.parametrize("mode", ["disable", "verify-ca", "verify-full"])
async def test_what_cannot_be_had_as_asked_for_is_a_store_error(
    database_url: str, keys: Keys, context: ssl.SSLContext, mode: str
) -> None:
    async with behind_tls(database_url, context) as url:
        with pytest.raises(StoreError, match="the diary's database"):
            await Store.open(f"{url}?sslmode={mode}", keys)


async def test_a_wrong_password_is_a_store_error_that_does_not_tell_it(database_url: str, keys: Keys) -> None:
    password = urlsplit(database_url).password
    assert password
    with pytest.raises(StoreError, match="InvalidPasswordError") as failed:
        await Store.open(database_url.replace(password, "another-word"), keys)
    assert "another-word" not in str(failed.value)


async def test_a_database_that_is_not_there_is_a_store_error(database_url: str, keys: Keys) -> None:
    with pytest.raises(StoreError, match="InvalidCatalogNameError"):
        await Store.open(f"{database_url}_not", keys)


@pytest.mark.parametrize("query", ["sslmode=yes", "sslmode=require&sslmode=disable", "ssl=true"])
def test_an_sslmode_that_is_none_is_named(query: str) -> None:
    with pytest.raises(SettingError, match=r"^DATABASE_URL: has an sslmode that is none of "):
        parse_url(f"postgres://host/db?{query}")
