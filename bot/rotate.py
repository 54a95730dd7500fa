"""The command `rotate`: bring the diary to the newest key.

It needs the diary's settings alone. It must not print what was said.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence

from bot.diary.database import sqlite_file
from bot.diary.store import open_store
from bot.errors import IlgiError, SettingError
from bot.settings import StoreSettings, load_store


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `rotate` with the arguments behind its name; returns the exit status: 1 after a failure."""
    argparse.ArgumentParser(
        prog="python -m bot rotate",
        description="Encrypt the whole diary with the newest key of DIARY_KEY, so that the older ones can be dropped.",
    ).parse_args(argv)
    try:
        changed = asyncio.run(_rotate(load_store(environ)))
    except IlgiError as error:
        sys.stderr.write(f"rotate: {error}\n")
        return 1
    sys.stdout.write(f"{changed} texts were brought to the newest key\n")
    return 0


async def _rotate(settings: StoreSettings) -> int:
    """Returns how many texts were changed."""
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        raise SettingError("DATABASE_URL", "there is no diary yet")
    store = await open_store(settings.database_url, settings.diary_keys, settings.timezone)
    try:
        return await store.rotate()
    finally:
        await store.close()
