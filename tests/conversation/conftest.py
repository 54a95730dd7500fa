"""A call that waits for its caller to speak."""

import pytest

from tests.conversation.line import Line


@pytest.fixture
def line() -> Line:
    """A call whose greeting was heard."""
    line = Line()
    line.bot_speaks()
    return line
