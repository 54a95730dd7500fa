"""bot/lean.py: what a process that serves has imported, seen in interpreters of their own."""

import subprocess
import sys

import pytest

SERVE = "from bot.lean import keep_lean; keep_lean(); import bot.server; import sys; "


def printed(program: str) -> str:
    """Run a program, with what is installed here."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    [
        "aiohttp",
        "alembic",
        "asyncpg",
        "bot.lab",
        "onnxruntime",
        "openai.types.batch",
        "openai.types.responses.response",
        "pydantic.v1",
        "soundfile",
        "soxr",
        "sqlalchemy.orm",
    ],
)
def test_a_server_does_not_import(module: str, imported: frozenset[str]) -> None:
    assert module not in imported


@pytest.fixture(scope="module")
def imported() -> frozenset[str]:
    model = "from openai import AsyncOpenAI; AsyncOpenAI(api_key='none').chat.completions.create; "
    return frozenset(
        printed(SERVE + model + "print(*(name for name, module in sys.modules.items() if module))").split()
    )


def test_what_is_put_off_is_there_when_it_is_asked_for() -> None:
    program = "from openai import types; print(types.Batch.__module__, types.chat.ChatCompletion.__name__)"
    assert printed(SERVE + program) == "openai.types.batch ChatCompletion"
    program = "from sqlalchemy.ext.asyncio import AsyncSession, engine; print(AsyncSession.__name__, engine.__name__)"
    assert printed(SERVE + program) == "AsyncSession sqlalchemy.ext.asyncio.engine"


def test_what_is_not_there_is_missed_as_ever() -> None:
    program = "import openai.types; print(hasattr(openai.types, 'Nothing'), hasattr(openai.types, '__nothing__'))"
    assert printed(SERVE + program) == "False False"


def test_only_a_process_that_serves_is_kept_lean() -> None:
    assert printed("import openai, sys; print('openai.types.batch' in sys.modules)") == "True"
