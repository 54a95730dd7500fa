"""What Alembic runs for every command: migrates on the connection it is given, inside that connection's transaction.

It must not open a connection of its own: `bot.diary.migrate` holds the lock that makes a migration happen once.
"""

from alembic import context

from bot.diary.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
