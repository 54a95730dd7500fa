"""Whether a database has the tables of this release. It must not know how it comes to them: that is `migrate.py`."""

from sqlalchemy import Connection, inspect, text

from bot.diary.database import Database

REVISION = "0005"
"""The newest of migrations/versions/, here so that Alembic is imported only where something is to be migrated."""


async def is_current(database: Database) -> bool:
    """Tell whether the database has exactly the tables of this release."""
    async with database.read() as connection:
        return await connection.run_sync(revision_of) == REVISION


def revision_of(connection: Connection) -> str | None:
    """Return the newest migration that was run on a database; None when there was none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
