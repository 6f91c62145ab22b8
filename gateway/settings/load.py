"""The configuration of one process: file, environment and command line, checked whole and made into Settings.

The command line wins over `GATEWAY_*`, which wins over the file, which wins over the defaults of shape.py.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from gateway.errors import ConfigUnusable
from gateway.settings.catalogue import PACKAGE, catalogue_path, read_catalogue
from gateway.settings.findings import Findings
from gateway.settings.keys import digest_of
from gateway.settings.options import ServeOptions
from gateway.settings.reader import Reader, Reading
from gateway.settings.shape import Provider, Settings

__all__ = [
    "Reading",
    "ServeOptions",
    "config_path",
    "digest_of",
    "load",
    "load_options",
    "own_environment",
    "providers",
    "read_settings",
    "settings_of",
]

DEFAULT_CONFIG = Path("config/gateway.yaml")
DEV_CONFIG = PACKAGE.parent / "config" / "dev.yaml"


def load(path: Path, environment: Mapping[str, str], *, dev: bool = False) -> Settings:
    """The settings of a configuration file. ConfigUnusable with every problem found."""
    return settings_of(read_settings(path, environment, ServeOptions(dev=dev)))


def load_options(options: ServeOptions, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings `serve` runs with; the environment is the process's own unless given. ConfigUnusable."""
    around = own_environment() if environment is None else environment
    return settings_of(read_settings(config_path(options.config, around, dev=options.dev), around, options))


def own_environment() -> Mapping[str, str]:
    """The environment of this process, as it is now."""
    return dict(os.environ)


def providers() -> dict[str, Provider]:
    """The catalogue by name. ConfigUnusable where it can't be read."""
    findings = Findings()
    found = read_catalogue(catalogue_path(), findings)
    if findings.problems:
        raise ConfigUnusable(findings.problems)
    return found


def settings_of(reading: Reading) -> Settings:
    """The settings of a reading. ConfigUnusable where it has problems."""
    if reading.settings is None:
        raise ConfigUnusable(reading.problems)
    return reading.settings


def config_path(given: str | None, environment: Mapping[str, str], *, dev: bool = False) -> Path | None:
    """Which file is meant: the one given, else GATEWAY_CONFIG, else config/dev.yaml or config/gateway.yaml.

    None under `--dev` in an installed wheel: there is no file, and none is needed.
    """
    named = given or environment.get("GATEWAY_CONFIG")
    if named:
        return Path(named)
    if dev:
        return DEV_CONFIG if DEV_CONFIG.is_file() else None
    return DEFAULT_CONFIG


def read_settings(path: Path | None, environment: Mapping[str, str], options: ServeOptions) -> Reading:
    """Read everything the configuration names and check it whole."""
    return Reader(path, environment, options).read()
