"""What Heroku and Render take in their files, as their documentation has it: unknown keys and wrong types are refused.

Sources: Heroku Dev Center, "app.json Schema"; Render's docs, "Blueprint YAML Reference". Of Render's fields those of a
Python web service and of a database are here.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

DynoSize = Literal["eco", "basic", "standard-1x", "standard-2x", "performance-m", "performance-l"]
Stack = Literal["heroku-22", "heroku-24", "heroku-26"]
EnvName = Annotated[str, Meta(pattern="^[A-Z][A-Z0-9_]*$")]
Plan = Annotated[str, Meta(pattern="^[a-z0-9-]+(:[a-z0-9-]+)?$")]
Region = Literal["oregon", "ohio", "virginia", "frankfurt", "singapore"]
DatabasePlan = Annotated[str, Meta(pattern="^(free|basic-(256mb|1gb|4gb)|pro-[0-9]+gb|accelerated-[0-9]+gb)$")]
Path = Annotated[str, Meta(pattern="^/")]
Text = Annotated[str, Meta(min_length=1)]


class Strict(Struct, forbid_unknown_fields=True, frozen=True):
    """Takes what it has and nothing else."""


class HerokuEnv(Strict):
    description: Text | UnsetType = UNSET
    value: str | UnsetType = UNSET
    required: bool = True
    generator: Literal["secret"] | UnsetType = UNSET


class Formation(Strict):
    quantity: Annotated[int, Meta(ge=0)]
    size: DynoSize | UnsetType = UNSET


class Addon(Strict, rename={"as_": "as"}):
    plan: Plan
    as_: str | UnsetType = UNSET
    options: dict[str, str] | UnsetType = UNSET


class Buildpack(Strict):
    url: Text


class HerokuScripts(Strict, rename={"pr_predestroy": "pr-predestroy"}):
    postdeploy: Text | UnsetType = UNSET
    pr_predestroy: Text | UnsetType = UNSET


class AppJson(Strict):
    name: Annotated[str, Meta(min_length=3, max_length=30)] | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=140)] | UnsetType = UNSET
    keywords: list[str] | UnsetType = UNSET
    website: str | UnsetType = UNSET
    repository: str | UnsetType = UNSET
    logo: str | UnsetType = UNSET
    success_url: str | UnsetType = UNSET
    scripts: HerokuScripts | UnsetType = UNSET
    env: dict[EnvName, HerokuEnv | str] | UnsetType = UNSET
    formation: dict[str, Formation] | UnsetType = UNSET
    addons: list[Addon | Plan] | UnsetType = UNSET
    buildpacks: list[Buildpack] | UnsetType = UNSET
    environments: dict[Literal["test", "review", "production"], dict[str, Any]] | UnsetType = UNSET
    stack: Stack | UnsetType = UNSET
    image: str | UnsetType = UNSET


class FromDatabase(Strict):
    name: Text
    property: Literal["host", "port", "database", "user", "password", "connectionString", "connectionPoolString"]


class EnvVar(Strict):
    """Exactly one source of a value: see `sources`."""

    key: EnvName
    value: str | int | float | bool | UnsetType = UNSET
    generateValue: bool | UnsetType = UNSET
    sync: Literal[False] | UnsetType = UNSET
    fromDatabase: FromDatabase | UnsetType = UNSET

    @property
    def sources(self) -> int:
        return sum(each is not UNSET for each in (self.value, self.generateValue, self.sync, self.fromDatabase))


class WebService(Strict, kw_only=True):
    type: Literal["web"]
    name: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    runtime: Literal["python", "docker"]
    plan: Literal["free", "starter", "standard", "pro", "pro plus", "pro max", "pro ultra"] | UnsetType = UNSET
    region: Region | UnsetType = UNSET
    repo: str | UnsetType = UNSET
    branch: str | UnsetType = UNSET
    rootDir: str | UnsetType = UNSET
    buildCommand: Text
    preDeployCommand: Text | UnsetType = UNSET
    startCommand: Text
    healthCheckPath: Path | UnsetType = UNSET
    maxShutdownDelaySeconds: Annotated[int, Meta(ge=1, le=300)] = 30
    numInstances: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    autoDeployTrigger: Literal["commit", "checksPass", "off"] | UnsetType = UNSET
    domains: list[str] | UnsetType = UNSET
    envVars: list[EnvVar] = []


class IpRange(Strict):
    source: Text
    description: str | UnsetType = UNSET


class RenderDatabase(Strict):
    name: Annotated[str, Meta(pattern="^[a-z0-9-]+$")]
    plan: DatabasePlan | UnsetType = UNSET
    region: Region | UnsetType = UNSET
    postgresMajorVersion: Annotated[str, Meta(pattern="^1[3-9]$")] | UnsetType = UNSET
    databaseName: str | UnsetType = UNSET
    user: str | UnsetType = UNSET
    diskSizeGB: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    ipAllowList: list[IpRange] | UnsetType = UNSET


class Blueprint(Strict):
    services: list[WebService]
    databases: list[RenderDatabase] = []
