"""The names of all settings: what is looked up in the environment when everything is read."""

from bot.settings import problems


class _Asked(dict):
    def __init__(self, names: set[str], values: dict[str, str]) -> None:
        super().__init__(values)
        self._names = names

    def get(self, name, default=None):
        self._names.add(name)
        return super().get(name, default)


def setting_names() -> set[str]:
    names: set[str] = set()
    enough = {"RTZR_CLIENT_ID": "a", "RTZR_CLIENT_SECRET": "b", "OPENAI_API_KEY": "c"}
    for values in ({}, enough):
        problems(_Asked(names, values))
    return names
