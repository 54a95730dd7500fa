"""A real PostgreSQL server for the tests: what befalls it, and that nothing of it is left behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.lab import postgres_install
from bot.lab.postgres import PostgresLab

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab() -> Iterator[PostgresLab]:
    with PostgresLab() as lab:
        yield lab


def until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not done() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert done()


def is_there(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_its_databases_are_apart(lab: PostgresLab) -> None:
    one, two = lab.new_database(), lab.new_database()
    lab.sql("CREATE TABLE things (name text); INSERT INTO things VALUES ('a'), ('b')", one)
    assert lab.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'things'", two) == "0"
    copied = lab.new_database(template=one)
    lab.sql("DELETE FROM things", one)
    assert lab.sql("SELECT name FROM things ORDER BY 1", copied) == "a\nb"
    with pytest.raises(RuntimeError, match='relation "things" does not exist'):
        lab.sql("SELECT * FROM things", two)


@pytest.mark.parametrize("end", [PostgresLab.stop, lambda lab: lab.stop("immediate"), PostgresLab.kill])
def test_what_was_committed_is_there_after_every_end(lab: PostgresLab, end) -> None:
    url = lab.new_database()
    lab.sql("CREATE TABLE things (name text); INSERT INTO things VALUES ('kept')", url)
    end(lab)
    assert not lab.is_running
    with pytest.raises(RuntimeError, match="refused"):
        lab.sql("SELECT 1", url)
    lab.start()
    assert lab.sql("SELECT name FROM things", url) == "kept", "at the same address"


def test_frozen_it_answers_nothing_and_thawed_all_that_it_was_asked(lab: PostgresLab) -> None:
    lab.freeze()
    asked = subprocess.Popen([lab.tool("psql"), "-XAtqc", "SELECT 42", lab.url], stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        asked.wait(0.5)
    lab.thaw()
    assert asked.communicate(timeout=20)[0] == "42\n"


def test_freezing_one_that_is_stopped_touches_nobody_who_has_its_pid_now(lab: PostgresLab) -> None:
    lab.stop()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        lab._pid = other.pid
        lab.freeze()
        try:
            assert other.communicate(b"awake", timeout=5)[0] == b"awake"
        finally:
            other.kill()
    lab.start()
    assert lab.sql("SELECT 1") == "1"


def test_a_password_is_asked_for(lab: PostgresLab) -> None:
    with pytest.raises(RuntimeError, match="password authentication failed"):
        lab.sql("SELECT 1", lab.url.replace(lab.url.split(":")[2].split("@")[0], "wrong"))


async def test_it_leaves_nothing_behind() -> None:
    async with PostgresLab() as lab:
        folder, pid = lab._folder, lab._pid
        lab.freeze()
    assert folder is not None and not folder.exists() and not is_there(pid)
    lab.close()


@pytest.mark.parametrize("frozen", [False, True])
def test_it_ends_with_a_process_that_is_killed(frozen: bool) -> None:
    script = (
        "import time\nfrom bot.lab.postgres import PostgresLab\nlab = PostgresLab()\nlab.start()\n"
        f"if {frozen}: lab.freeze()\nprint(lab._folder, lab._pid, flush=True)\ntime.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder, pid = owner.stdout.readline().split()
    assert is_there(int(pid))
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    until(lambda: not is_there(int(pid)) and not Path(folder).exists())


def test_programs_where_its_user_may_not_go_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "root" / "packages"
    install = postgres_install.installed()
    ignore = shutil.ignore_patterns("include", "*.a", "pginstall")
    shutil.copytree(install.parent, hidden / install.parent.name, ignore=ignore)
    libraries = install.parents[1] / f"{postgres_install.PACKAGE}.libs"
    shutil.copytree(libraries, hidden / libraries.name)
    os.chmod(tmp_path / "root", 0o700)
    monkeypatch.setattr(postgres_install, "installed", lambda: hidden / install.parent.name / install.name)
    with PostgresLab() as lab:
        assert lab.sql("SHOW server_version").startswith("18.")


def test_a_missing_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_install, "PACKAGE", "no_such_package")
    with pytest.raises(RuntimeError, match="the package no-such-package is not installed"):
        PostgresLab().start()
