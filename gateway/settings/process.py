"""What the environment says of one process: the `GATEWAY_*` variables, over the file and under the command line."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.errors import ConfigProblem
from gateway.settings.fields import UNCLEAR, Host, Name, State
from gateway.settings.findings import Findings
from gateway.settings.options import ProcessOptions
from gateway.settings.substitution import FromEnvironment

PREFIX = "GATEWAY_"
ENVIRONMENT = "environment"
# Kubernetes gives a service called `gateway` a GATEWAY_PORT of its own.
SERVICE_LINK = "tcp://"

Token = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$")]


class Variables(BaseSettings):
    """One attribute a variable; None where it isn't set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, hide_input_in_errors=True, frozen=True, env_parse_none_str=None, extra="ignore"
    )

    host: Host | None = None
    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    control_host: Host | None = None
    control_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    pop: Name | None = None
    state: State | None = None
    geoip_db: str | None = None
    admin_token: Token | None = None
    key_pepper: Token | None = None
    log_level: Literal["debug", "info", "warning", "error"] | None = None


def read_process(environment: Mapping[str, str], findings: Findings) -> ProcessOptions:
    """The process settings of an environment given as a mapping; findings never hold a value."""
    given = {name.lower(): FromEnvironment(value) for name, value in environment.items() if name.startswith(PREFIX)}

    class FromMapping(Variables):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del settings_cls, init_settings, dotenv_settings, file_secret_settings
            env_settings.env_vars = given  # type: ignore[attr-defined]  # the environment source reads its variables there
            return (env_settings,)

    try:
        return ProcessOptions(**FromMapping().model_dump())
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            name = f"{PREFIX}{str(detail['loc'][-1]).upper().removeprefix(PREFIX)}"
            what, mend = _said(name, detail["type"], detail.get("ctx", {}), environment)
            findings.add(ConfigProblem(ENVIRONMENT, 1, name, what, mend))
        return ProcessOptions()


def _said(name: str, kind: str, context: Mapping[str, object], environment: Mapping[str, str]) -> tuple[str, str]:
    if environment.get(name, "").startswith(SERVICE_LINK):
        return (
            "was set by Kubernetes for a service of this name",
            "set enableServiceLinks: false, or rename the service",
        )
    match kind:
        case "int_parsing" | "int_type":
            return "isn't a whole number", f"set {name} to digits alone"
        case "greater_than_equal" | "less_than_equal":
            bound = context.get("ge", context.get("le"))
            return "is out of range", f"the nearest allowed is {bound}"
        case "literal_error":
            return "isn't one of the words it may be", f"set {name} to {context['expected']}".replace("'", "")
        case "string_pattern_mismatch" | "string_unicode":
            return "is empty, or not one line of printable ASCII without spaces", f"set {name} to the secret alone"
    if kind == UNCLEAR:
        return str(context["what"]), str(context["mend"])
    return "can't be used", f"look at {name}"
