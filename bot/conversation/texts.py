"""Reads the packaged texts: words, lines and prompts are data. Knows nothing of what they mean."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table(name: str) -> dict[str, Any]:
    """`bot/texts/<name>.toml` as a dictionary, read once."""
    return tomllib.loads(files("bot").joinpath("texts", f"{name}.toml").read_text(encoding="utf-8"))


@cache
def prompt(name: str) -> str:
    """`bot/texts/prompts/<name>.md`: a system prompt, read once."""
    return files("bot").joinpath("texts", "prompts", f"{name}.md").read_text(encoding="utf-8").strip()


def words(name: str, key: str) -> tuple[str, ...]:
    """A list of words of a table, longest first, so that a scan meets the longest fit first."""
    return tuple(sorted(table(name)[key], key=lambda word: (-len(word), word)))
