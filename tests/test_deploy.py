"""Procfile, app.json, render.yaml and Dockerfile: well-formed, of one mind, and what they name is there and works."""

import ast
import asyncio
import base64
import fnmatch
import json
import os
import re
import secrets
import shlex
import signal
import sys
import tomllib
import urllib.request
from contextlib import asynccontextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path

import msgspec
import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bot.app import DRAIN_S, LAST_SAVING_S
from bot.diary.crypto import Keys
from bot.diary.database import Database
from bot.diary.revision import is_current
from bot.lab.rtzr import RtzrLab
from bot.server import CLOSE_S, LINGER_S
from bot.settings import load
from bot.worker import HAND_BACK_S
from tests.deploy_forms import AppJson, Blueprint
from tests.setting_names import setting_names

ROOT = Path(__file__).resolve().parents[1]
WAIT_S = 60
OLDEST, NEWEST = (3, 11), (3, 14)


def heroku():
    return msgspec.json.decode((ROOT / "app.json").read_bytes(), type=AppJson)


def render():
    return msgspec.yaml.decode((ROOT / "render.yaml").read_bytes(), type=Blueprint)


def procfile():
    lines = (ROOT / "Procfile").read_text("utf-8").splitlines()
    found = [re.fullmatch(r"([A-Za-z0-9_-]+):\s*(\S.*)", line) for line in lines if line.strip()]
    assert all(found)
    return {match[1]: match[2] for match in found}


@pytest.fixture(scope="module")
def docker():
    with open(ROOT / "Dockerfile", "rb") as file:
        yield DockerfileParser(fileobj=file, cache_content=True)


def instructions(docker, name, stage=None):
    """The values of every instruction `name`: of the last stage, or of all with `stage` "all"."""
    parts, found = -1, []
    for each in docker.structure:
        parts += each["instruction"] == "FROM"
        if each["instruction"] == name:
            found.append((parts, each["value"]))
    return [value for part, value in found if stage == "all" or part == parts]


def command_of(docker):
    return shlex.join(json.loads(instructions(docker, "CMD")[0]))


def requirements(name="requirements.txt"):
    return [Requirement(line) for line in (ROOT / name).read_text("utf-8").splitlines() if line.strip()]


# The files by themselves


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        (AppJson, {"name": "Ilgi", "formations": {}}, "unknown field `formations`"),
        (AppJson, {"env": {"KEY": {"secret": True}}}, "unknown field `secret`"),
        (AppJson, {"formation": {"web": {"size": "basic"}}}, "missing required field `quantity`"),
        (Blueprint, {"services": [{"type": "web", "name": "a"}]}, "missing required field `runtime`"),
        (Blueprint, {"services": [], "databases": [{"name": "a", "plan": "starter"}]}, "matching regex"),
    ],
)
def test_what_the_platforms_refuse_is_refused(form, text, why):
    with pytest.raises(msgspec.ValidationError, match=re.escape(why)):
        msgspec.convert(text, form)


def test_app_json_is_what_heroku_takes():
    app = heroku()
    assert set(app.formation) <= set(procfile())
    assert app.formation["web"].quantity == 1
    assert app.formation["web"].size != "eco"  # it sleeps, and Twilio does not wait for it
    assert [addon.plan.partition(":")[0] for addon in app.addons] == ["heroku-postgresql"]
    assert [buildpack.url for buildpack in app.buildpacks] == ["heroku/python"]


def test_render_yaml_is_what_render_takes():
    blueprint = render()
    (service,), (database,) = blueprint.services, blueprint.databases
    assert all(variable.sources == 1 for variable in service.envVars)
    assert len({variable.key for variable in service.envVars}) == len(service.envVars)
    wanted = {variable.fromDatabase.name for variable in service.envVars if variable.fromDatabase}
    assert wanted == {database.name}
    assert database.region == service.region
    assert database.ipAllowList == []
    assert service.healthCheckPath == "/health"
    assert service.plan != "free"  # it sleeps, and Twilio does not wait for it


def test_heroku_finds_one_list_of_packages_and_a_python_that_it_has():
    lists = ["requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock"]
    assert [name for name in lists if (ROOT / name).exists()] == ["requirements.txt"]
    assert not (ROOT / "runtime.txt").exists()
    assert OLDEST <= tuple(map(int, (ROOT / ".python-version").read_text().strip().split("."))) <= NEWEST


# What they name


def test_the_settings_that_they_name_are_settings():
    names = setting_names()
    named = set(heroku().env) | {variable.key for variable in render().services[0].envVars}
    assert named <= names
    assert {"DIARY_KEY", "RTZR_CLIENT_ID", "RTZR_CLIENT_SECRET"} <= named


def test_what_a_call_needs_is_asked_for_and_no_secret_is_in_a_file():
    needed = {"RTZR_CLIENT_ID", "RTZR_CLIENT_SECRET", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER"}
    env = heroku().env
    assert {name for name, variable in env.items() if variable.required and not variable.generator} == needed
    assert all(not variable.value for variable in env.values())
    variables = {variable.key: variable for variable in render().services[0].envVars}
    assert {name for name in needed if variables[name].sync is False} == needed
    assert {name for name, variable in variables.items() if variable.value is not msgspec.UNSET} == {"PROXIES"}


@pytest.mark.parametrize(
    "made", [bytes(range(32)).hex(), base64.b64encode(bytes(range(32))).decode()], ids=["Heroku's", "Render's"]
)
def test_the_key_that_a_platform_makes_is_a_key(made):
    assert heroku().env["DIARY_KEY"].generator == "secret"
    (variable,) = [variable for variable in render().services[0].envVars if variable.key == "DIARY_KEY"]
    assert variable.generateValue is True
    assert len(Keys.parse(made).ids) == 1


def test_every_platform_runs_the_same_commands(docker):
    service = render().services[0]
    assert {procfile()["web"], service.startCommand, command_of(docker)} == {"python -m bot serve"}
    assert {procfile()["release"], service.preDeployCommand} == {"python -m bot.diary.migrate"}


def test_every_platform_gives_the_bot_the_time_that_its_end_takes():
    end_s = DRAIN_S + 2 * LINGER_S + CLOSE_S + max(LAST_SAVING_S, 5.0 + 2 * HAND_BACK_S)
    assert end_s <= 28  # as the README says; Heroku, and Docker there, wait 30 s
    assert render().services[0].maxShutdownDelaySeconds > end_s


# The image


def test_the_image_has_a_small_base_and_the_python_of_the_other_platforms(docker):
    bases = [re.split(r"\s+as\s+", value, flags=re.I)[0] for value in instructions(docker, "FROM", "all")]
    wanted = (ROOT / ".python-version").read_text().strip()
    assert bases == [f"python:{wanted}-slim"] * 2


def test_what_the_image_copies_is_there_and_not_left_out(docker):
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    for value in instructions(docker, "COPY", "all"):
        *sources, _ = [word for word in value.split() if not word.startswith("--")]
        if "--from=" in value:
            continue
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    assert ignored[0] == "*"


def test_no_secret_gets_into_the_image(docker):
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(kept) == ["bot", "requirements.txt", "twiml"]
    for name in ("var", ".git", ".env", "ilgi.db", "ilgi.db.key"):
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in kept)
    told = docker.content
    assert not re.search(r"^(ARG|ENV)\b.*(SECRET|TOKEN|_KEY)", told, re.M)
    names = set(re.findall(r"\b([A-Z][A-Z0-9_]+)=", " ".join(instructions(docker, "ENV"))))
    assert names <= setting_names() | {"PATH", "PYTHONUNBUFFERED"}


def test_the_bot_in_the_image_is_nobody_and_may_write_to_its_volume_alone(docker):
    (user,), (volume,) = instructions(docker, "USER"), instructions(docker, "VOLUME")
    assert user not in ("root", "0")
    (made,) = [run for run in instructions(docker, "RUN") if "useradd" in run]
    assert re.search(rf"useradd\b.*\b{user}\b", made)
    assert re.search(rf"install --directory --owner={user} \S+ {volume}$", made.strip())
    assert f"DATABASE_URL=sqlite:///{volume}/" in " ".join(instructions(docker, "ENV"))
    last = [each["instruction"] for each in docker.structure]
    assert last.index("USER") > max(at for at, name in enumerate(last) if name in ("COPY", "RUN"))


def test_nothing_is_compiled_and_no_build_tool_is_left_in_the_image(docker):
    everything = " ".join(instructions(docker, "RUN", "all"))
    assert "--only-binary=:all:" in everything
    assert "--without-pip" in everything
    assert "apt-get" not in everything
    assert not [run for run in instructions(docker, "RUN") if "pip" in run]


def test_the_image_installs_what_the_tests_run_with(docker):
    (installing,) = [run for run in instructions(docker, "RUN", "all") if "pip" in run]
    assert installing.split()[-2:] == ["-r", "requirements.txt"]
    wrong = []
    for requirement in requirements():
        assert str(requirement.specifier).startswith("==")
        if (requirement.marker is None or requirement.marker.evaluate()) and not requirement.specifier.contains(
            version(requirement.name)
        ):
            wrong.append(requirement.name)
    assert wrong == []


def imported():
    """The packages that the bot imports, beside the stand-ins and Python's own."""
    files = [path for path in (ROOT / "bot").rglob("*.py") if "lab" not in path.parts]
    for node in (node for path in files for node in ast.walk(ast.parse(path.read_bytes()))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        yield from (name.partition(".")[0] for name in names)


def test_what_is_imported_is_in_the_list_of_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    direct = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    pinned = {canonicalize_name(each.name) for each in requirements()}
    assert direct <= pinned
    carried_by = packages_distributions()
    for name in set(imported()) - sys.stdlib_module_names - {"bot"}:
        assert {canonicalize_name(package) for package in carried_by[name]} & pinned, f"{name} is not in the list"


# What they run


def environment(**changes):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def argv(command):
    program, *arguments = shlex.split(command)
    assert program == "python"
    return [sys.executable, *arguments]


async def finished(command, folder, **changes):
    process = await asyncio.create_subprocess_exec(
        *argv(command), cwd=folder, env=environment(**changes), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WAIT_S):
        _, told = await process.communicate()
    return process.returncode, told.decode()


@asynccontextmanager
async def running(command, folder, **changes):
    """The process of a command that serves, and its address on this machine."""
    process = await asyncio.create_subprocess_exec(
        *argv(command), cwd=folder, env=environment(**changes), stderr=asyncio.subprocess.PIPE
    )
    lines = []
    try:
        async with asyncio.timeout(WAIT_S):
            async for line in process.stderr:
                lines.append(line.decode())
                if found := re.search(r"listening on \S+ port (\d+)", lines[-1]):
                    break
            else:
                raise AssertionError("".join(lines))
        yield process, f"http://127.0.0.1:{found[1]}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def health(url):
    def ask():
        with urllib.request.urlopen(f"{url}/health", timeout=WAIT_S) as answer:
            return answer.status, json.loads(answer.read())

    return await asyncio.to_thread(ask)


async def serves_and_ends(command, folder, **changes):
    async with running(command, folder, **changes) as (process, url):
        status, told = await health(url)
        assert (status, told["status"], told["database"]) == (200, "ok", "ok")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(WAIT_S):
            return await process.wait()


def platform_settings(name, database_url, rtzr):
    """The environment that a platform gives to what its file asks for, with made-up accounts."""
    asked_for = {
        "TWILIO_ACCOUNT_SID": "AC" + "0f" * 16,
        "TWILIO_AUTH_TOKEN": "made-up-token",
        "TWILIO_PHONE_NUMBER": "+827045678901",
        "RTZR_CLIENT_ID": rtzr.client_id,
        "RTZR_CLIENT_SECRET": rtzr.client_secret,
    }
    if name == "heroku":
        names = {each for each, variable in heroku().env.items() if variable.required} | {"DATABASE_URL"}
        own = {"DYNO": "web.1", "WEB_CONCURRENCY": "2", "DIARY_KEY": secrets.token_hex(32)}
        database_url = database_url.replace("postgresql://", "postgres://")
    else:
        fixed = {each.key: each.value for each in render().services[0].envVars if each.value is not msgspec.UNSET}
        names = {variable.key for variable in render().services[0].envVars} - {"OPENAI_API_KEY", *fixed}
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        own = {"RENDER": "true", "RENDER_EXTERNAL_URL": "https://ilgi.onrender.com", "DIARY_KEY": key, **fixed}
        database_url = database_url.replace("postgres://", "postgresql://")
    given = {**asked_for, "DATABASE_URL": database_url, "DIARY_KEY": own["DIARY_KEY"]}
    assert set(given) == names
    return {**given, **own, "PORT": "0", "RTZR_API_URL": rtzr.url}


async def test_the_release_command_makes_the_tables_and_may_run_again(unmigrated_url, tmp_path):
    for _ in range(2):
        status, told = await finished(procfile()["release"], tmp_path, DATABASE_URL=unmigrated_url)
        assert (status, "Traceback" in told) == (0, False)
    database = Database(unmigrated_url)
    assert await is_current(database)
    await database.close()


async def test_a_release_command_that_fails_stops_the_deploy(tmp_path):
    status, told = await finished(procfile()["release"], tmp_path, DATABASE_URL="postgres://a:b@127.0.0.1:9/c")
    assert status == 1
    assert told.startswith("migrate: ")


@pytest.mark.postgresql
@pytest.mark.parametrize("platform", ["heroku", "render"])
async def test_the_start_command_serves_and_ends_when_the_platform_says(platform, database_url, tmp_path):
    command = procfile()["web"] if platform == "heroku" else render().services[0].startCommand
    async with RtzrLab() as rtzr:
        settings = platform_settings(platform, database_url, rtzr)
        load(settings)
        assert await serves_and_ends(command, tmp_path, **settings) == 0
    assert list(tmp_path.iterdir()) == []  # a platform's disk keeps nothing


async def test_the_image_serves_is_healthy_and_ends(docker, tmp_path):
    health_check = json.loads(instructions(docker, "HEALTHCHECK")[0].partition("CMD ")[2])
    async with RtzrLab() as rtzr:
        settings = {
            "PORT": "0",
            "RTZR_CLIENT_ID": rtzr.client_id,
            "RTZR_CLIENT_SECRET": rtzr.client_secret,
            "RTZR_API_URL": rtzr.url,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'ilgi.db'}",
        }
        async with running(command_of(docker), tmp_path, **settings) as (process, url):
            port = url.rpartition(":")[2]
            assert (await finished(shlex.join(health_check), tmp_path, PORT=port))[0] == 0
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WAIT_S):
                assert await process.wait() == 0
        assert (await finished(shlex.join(health_check), tmp_path, PORT=port))[0] == 1
