"""bot/console.py: what is said in the terminal."""

import logging
import re

from bot.console import in_one_line


def test_an_error_of_the_server_is_one_line_without_its_text():
    try:
        raise ValueError("오늘 산책했어요")
    except ValueError as error:
        told = (type(error), error, error.__traceback__)
    record = logging.LogRecord("asyncio", logging.ERROR, __file__, 1, "broke at 100%\n<future 산책>", (), told)
    assert in_one_line(record)
    line = logging.Formatter().format(record)
    assert re.fullmatch(r"broke at 100%: ValueError at test_console\.py:\d+", line)
