"""What the command line and the environment say of `serve`; None where they say nothing."""

from msgspec import Struct


class ServeOptions(Struct, frozen=True):
    """Overrides of the environment, which overrides the file."""

    config: str | None = None
    dev: bool = False
    host: str | None = None
    port: int | None = None
    control_port: int | None = None
    workers: int | None = None


class ProcessOptions(Struct, frozen=True):
    """What `GATEWAY_*` variables say; they win over the file."""

    host: str | None = None
    port: int | None = None
    control_host: str | None = None
    control_port: int | None = None
    workers: int | None = None
    pop: str | None = None
    state: str | None = None
    geoip_db: str | None = None
    admin_token: str | None = None
    key_pepper: str | None = None
    log_level: str | None = None


VARIABLES = tuple(f"GATEWAY_{name.upper()}" for name in ProcessOptions.__struct_fields__)
