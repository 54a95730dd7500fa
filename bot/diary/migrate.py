"""Bring a diary's database to this release's tables: `python -m bot.diary.migrate`, or `upgrade`.

Safe when several processes start at once: one migrates, the others wait and find it done. It must not know what the
tables hold; needs DATABASE_URL alone, no key.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from bot.diary.database import Database
from bot.diary.revision import REVISION, revision_of
from bot.errors import IlgiError, StoreError
from bot.settings import DEFAULT_DATABASE_URL

STATEMENT_S = 600.0  # a migration may wait for another process that migrates, and rewrite a table

logger = logging.getLogger(__name__)


async def upgrade(database_url: str) -> None:
    """Run every migration that is missing, in one transaction; StoreError or SettingError when that cannot be."""
    database = Database(database_url, statement_s=STATEMENT_S)
    try:
        await database.prepare()
        await upgrade_in(database)
    finally:
        await database.close()


async def upgrade_in(database: Database) -> None:
    """As `upgrade`, on a database that is prepared; a database of a newer release is a StoreError."""
    with _config() as config:
        async with database.write(is_long=True) as connection:
            await database.lock_schema(connection)
            before = await connection.run_sync(_upgrade, config)
    if before != REVISION:
        logger.info("the diary's tables were brought from revision %s to %s", before or "nothing", REVISION)


@contextmanager
def _config() -> Iterator[Config]:
    with as_file(files("bot.diary").joinpath("migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        yield config


def _upgrade(connection: Connection, config: Config) -> str | None:
    before = revision_of(connection)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the diary's tables cannot be migrated from revision {before}: {error}") from error
    return before


def main(environ: Mapping[str, str]) -> int:
    """Migrate the database of DATABASE_URL; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        asyncio.run(upgrade(environ.get("DATABASE_URL") or DEFAULT_DATABASE_URL))
    except IlgiError as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m bot.diary.migrate", description=main.__doc__).parse_args()
    sys.exit(main(os.environ))
