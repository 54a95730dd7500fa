"""What other people's packages import and a bot never uses is kept out of the memory of the process that serves.

Nothing is taken away. A package that is put off runs its `__init__` when the first thing is asked of it that is not
one of its submodules: so what we use of such a package we import from the submodule that holds it. Should a release of
the package ask for more at its import, the process is bigger, and nothing else. It must not know what is served.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PUT_OFF = frozenset(
    {
        "openai.types",  # what every part of the API takes and gives: hundreds of models
        "openai.types.graders",
        "openai.types.responses",
        "sqlalchemy.ext.asyncio",  # its sessions, and with them the ORM
    }
)
ABSENT = ("aiohttp",)
"""As if it were not installed: openai can do without, and it is only there because `twilio` wants it."""


class PutOff(ModuleType):
    """A package whose `__init__` has not run yet."""

    def __getattr__(self, name: str) -> object:
        """Give a submodule; for any other name let the `__init__` run, and give what it made."""
        if name.startswith("__"):
            raise AttributeError(name)
        submodule = f"{self.__name__}.{name}"
        try:
            return import_module(submodule)
        except ModuleNotFoundError as error:
            if error.name != submodule:
                raise
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert isinstance(self.__loader__, _Later)
        self.__loader__.really.exec_module(self)
        return getattr(self, name)


class _Later(Loader):
    """Makes such a package, and leaves it at that."""

    def __init__(self, really: Loader) -> None:
        self.really = really

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return PutOff(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Finder:
    """The finder of such packages, for `sys.meta_path`."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in PUT_OFF else None
        if spec and spec.loader:
            spec.loader = _Later(spec.loader)
        return spec


def keep_lean() -> None:
    """Begin; to be called before any of these packages is imported."""
    sys.modules.update(dict.fromkeys(ABSENT))  # type: ignore[arg-type]
    sys.meta_path.insert(0, _Finder)
