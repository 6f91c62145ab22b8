import subprocess
import sys

import pytest

from gateway.settings.options import VARIABLES, ProcessOptions, ServeOptions


def test_nothing_is_said_unless_it_is_given() -> None:
    for options in (ServeOptions(), ProcessOptions()):
        values = [getattr(options, name) for name in options.__struct_fields__]
        assert not any(values)


def test_the_variables_are_those_of_the_contract() -> None:
    places = ["HOST", "PORT", "CONTROL_HOST", "CONTROL_PORT", "POP", "STATE", "GEOIP_DB"]
    others = ["WORKERS", "ADMIN_TOKEN", "KEY_PEPPER", "LOG_LEVEL"]
    assert set(VARIABLES) == {f"GATEWAY_{name}" for name in places + others}


def heavy_modules_behind(module: str) -> str:
    """Which of the configuration's own packages an import brings, asked of a fresh process."""
    heavy = "('pydantic', 'pydantic_settings', 'yaml')"
    code = f"import {module}, sys; print([name for name in sys.modules if name in {heavy}])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["shape", "options", "keys", "environment", "words"])
def test_what_a_worker_needs_brings_neither_pydantic_nor_yaml(module: str) -> None:
    assert heavy_modules_behind(f"gateway.settings.{module}") == "[]"


@pytest.mark.slow
def test_a_whole_worker_brings_neither_pydantic_nor_yaml() -> None:
    assert heavy_modules_behind("gateway.app") == "[]"


def test_the_question_finds_what_it_asks_for() -> None:
    assert heavy_modules_behind("yaml") == "['yaml']"
