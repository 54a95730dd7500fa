"""What a serving process says in the terminal: its log, one line a record, and in one line why it cannot serve.

It must not know what is served, and is light: the parent of several processes says such things too.
"""

import logging
import sys
from collections.abc import Callable

from bot.errors import IlgiError, SettingError, where

BAD_SETTING, CANNOT_START, INTERRUPTED = 2, 1, 130
_QUIET = ("uvicorn", "httpx2", "httpx", "openai", "alembic", "websockets", "quart", "asyncio", "aiosqlite")


def configure_logging(*, of_many: bool = False) -> None:
    """One line a record, to stderr; other packages only with warnings, and the server's without stack traces.

    Where a process is one `of_many` its pid is in each line.
    """
    pid = " %(process)d" if of_many else ""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s{pid} %(levelname)s %(name)s: %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn.error", "asyncio", "bot"):
        logging.getLogger(name).addFilter(in_one_line)


def in_one_line(record: logging.LogRecord) -> bool:
    """A logging filter that puts the place of an error where its stack trace and its text would be.

    The server logs what a peer did wrong as if it were an error of its own.
    """
    if isinstance(record.exc_info, tuple) and (error := record.exc_info[1]):
        record.msg, record.args = "%s: %s", (record.getMessage().partition("\n")[0], where(error))
        record.exc_info = record.exc_text = None
    return True


def status_of(serve: Callable[[], int]) -> int:
    """Serve; gives the exit status, also when that cannot be: then it is told why."""
    try:
        return serve()
    except SettingError as error:
        sys.stderr.write(f"ilgi: {error}\n")
        return BAD_SETTING
    except IlgiError as error:
        sys.stderr.write(f"ilgi: {error}\n")
        return CANNOT_START
    except KeyboardInterrupt:
        return INTERRUPTED
