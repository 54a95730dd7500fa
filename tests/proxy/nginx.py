"""nginx as the README says it, run on ephemeral ports of the loopback in front of bots that are started for real.

Every change that is made to the README's text must find what it changes. Beside its server stand two others, so that a
test sees that its lines matter: the same without its timeouts, and one that passes everything on and sets nothing. The
default timeout is lowered for all of them.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

README = Path(__file__).parents[2] / "README.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
START_S, STOP_S = 20, 20
LOWERED_S = 2
"""What stands for the 60 s after which nginx gives a silent connection up by default."""
TIMEOUTS = re.compile(r"^ *proxy_(read|send)_timeout .*\n", re.MULTILINE)

_FRAME = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    proxy_read_timeout {lowered_s}s;
    proxy_send_timeout {lowered_s}s;
{readme}
{hasty}
    server {{
        listen 127.0.0.1:{ports.bare};
        location / {{
            proxy_pass http://ilgi;
            proxy_ignore_headers X-Accel-Buffering;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where nginx listens: as the README says, by TLS and without; without its timeouts; and with nothing set."""

    tls: int
    plain: int
    hasty: int
    bare: int


@dataclass(slots=True)
class Proxy:
    """A running nginx; `certificate` is the file of its certificate."""

    ports: Ports
    certificate: Path
    process: asyncio.subprocess.Process

    @property
    def url(self):
        """What it is called."""
        return f"https://127.0.0.1:{self.ports.tls}"

    @property
    def plain_url(self):
        """The same server for whom the certificate does not convince."""
        return f"http://127.0.0.1:{self.ports.plain}"

    @property
    def hasty_url(self):
        """The server without our timeouts."""
        return f"http://127.0.0.1:{self.ports.hasty}"

    @property
    def bare_url(self):
        """The server that sets nothing."""
        return f"http://127.0.0.1:{self.ports.bare}"


def in_readme():
    """The block of the README, as it is."""
    return re.search(r"^```nginx\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]


def bound():
    """A port of the loopback that is taken, and refuses connections until somebody listens on it."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    return taken


def configuration(folder, ports, bots, *, path="/"):
    """The README's block with our ports and files; `bots` are the two ports of its upstream, `path` where it serves."""
    replaced = {
        "server 127.0.0.1:5000": f"server 127.0.0.1:{bots[0]}",
        "server 127.0.0.1:5001": f"server 127.0.0.1:{bots[1]}",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports.tls} ssl; listen 127.0.0.1:{ports.plain};",
        "/etc/ssl/certs/diary.example.com.pem": f"{folder}/certificate.pem",
        "/etc/ssl/private/diary.example.com.key": f"{folder}/certificate.key",
    }
    if path != "/":
        replaced |= {"location / {": f"location {path}/ {{", "proxy_pass http://ilgi;": "proxy_pass http://ilgi/;"}
    block = in_readme()
    for written, ours in replaced.items():
        assert block.count(written) == 1, f"the README says {written!r} no more, or more than once"
        block = block.replace(written, ours)
    hasty, count = TIMEOUTS.subn("", block[block.index("\nserver {") :])
    assert count == 2
    hasty = re.sub(r"^ *(listen|ssl_).*\n", "", hasty, flags=re.MULTILINE)
    hasty = hasty.replace("{", f"{{ listen 127.0.0.1:{ports.hasty};", 1)
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is only its owner's
    return _FRAME.format(folder=folder, user=user, lowered_s=LOWERED_S, ports=ports, readme=block, hasty=hasty)


@asynccontextmanager
async def proxied(folder, bots, listeners, *, path="/"):
    """nginx before the ports `bots`, for the block; `listeners` are sockets that are bound to its `Ports`."""
    assert NGINX, "there is no nginx: apt-get install -y --no-install-recommends nginx"
    for listener in listeners:
        listener.listen(64)
    ports = Ports(*(listener.getsockname()[1] for listener in listeners))
    folder.mkdir(parents=True, exist_ok=True)
    certificate = certify(folder)
    (folder / "nginx.conf").write_text(configuration(folder, ports, bots, path=path))
    numbers = [listener.fileno() for listener in listeners]
    process = await asyncio.create_subprocess_exec(
        *(NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")),
        pass_fds=numbers,
        # It takes over what is open already, as it does when it is replaced by a newer nginx.
        env={"NGINX": "".join(f"{number};" for number in numbers), "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        for listener in listeners:
            listener.close()
        await _started(folder, process)
        yield Proxy(ports, certificate, process)
        assert process.returncode is None, (folder / "error.log").read_text()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            await process.wait()


async def _started(folder, process):
    async with asyncio.timeout(START_S):
        while not (folder / "nginx.pid").exists():
            assert process.returncode is None, (folder / "error.log").read_text()
            await asyncio.sleep(0.02)


def certify(folder):
    """Make a key, and a certificate that it has signed itself for the loopback; gives the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "diary.example.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    (folder / "certificate.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return folder / "certificate.pem"
