"""The trusted certificates, read once for every HTTPS client of the process: each time takes 20 ms and 0.8 MiB.

It must not know who is connected to.
"""

import ssl
from functools import cache

import httpx2


@cache
def trusted() -> ssl.SSLContext:
    """Return what httpx2 trusts by itself; made when it is first asked for."""
    return httpx2.create_ssl_context()
