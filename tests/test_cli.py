import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main

KEY_HASH = "ab" * 32


def configuration(root: Path, state: str = "memory") -> str:
    callers = f'teams: {{a: {{}}}}\nkeys: {{k: {{team: a, hash: "{KEY_HASH}"}}}}\n'
    (root / "callers.yaml").write_text(callers)
    path = root / "gateway.yaml"
    path.write_text(f"state: {state}\ncallers: callers.yaml\n")
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["dance"],
        ["serve", "--port", "70000"],
        ["serve", "--port", "-1"],
        ["serve", "--port", "http"],
        ["serve", "--port", "\u0661"],
        ["serve", "--workers", "0"],
        ["serve", "--workers", "many"],
        ["serve", "--workers", "257"],
        ["serve", "extra"],
        ["check", "--confg"],
        ["worker"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: gateway" in capsys.readouterr().err


def test_help_names_the_commands_and_hides_the_workers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n    {command} " in text for command in ("serve", "check", "mock"))
    assert "worker" not in text


def test_the_mocks_options_are_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["mock", "--help"])
    assert caught.value.code == 0
    assert "--ttft" in capsys.readouterr().out


def test_the_mock_says_itself_what_is_wrong_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mock", "--slots", "0"]) == 2
    assert "slots" in capsys.readouterr().err


def test_a_fine_configuration_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", configuration(tmp_path)]) == 0
    assert capsys.readouterr().out == "ok: 0 backends, 0 models, 1 keys\n"


def test_a_wrong_configuration_is_1_and_its_problems_go_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(tmp_path, state="gold")
    assert main(["check", "--config", path]) == 1
    out, err = capsys.readouterr()
    assert out == f"{path}:1: state: isn't a kind of state; write memory, embedded, or a redis:// URL\n"
    assert err == ""


def test_check_shows_the_schema_and_what_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == 0
    assert capsys.readouterr().out.startswith("{")
    path = configuration(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text(Path(path).read_text() + "drain: 1s\n")
    assert main(["check", "--config", path, "--diff", str(other)]) == 0
    assert capsys.readouterr().out == "~ drain_s: 600.0 -> 1.0\n"


def test_check_reads_a_development_file_as_dev_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dev.yaml"
    path.write_text("state: memory\n")
    assert main(["check", "--config", str(path), "--dev"]) == 0
    assert main(["check", "--config", str(path)]) == 1
    assert "callers: is missing" in capsys.readouterr().out


def test_serving_a_wrong_configuration_is_78_and_its_problems_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configuration(tmp_path, state="embedded")
    assert main(["serve", "--config", path, "--port", "0", "--control-port", "0"]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:1: state: embedded is not built yet; use memory" in err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_dev_refuses_a_host_that_is_not_loopback(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--dev", "--host", host, "--port", "0", "--control-port", "0"]) == 78
    assert f"{host} isn't loopback, and --dev is; use 127.0.0.1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("words", ["['--help']", "['check', '--help']", "['worker', '--help']"])
def test_a_command_imports_only_what_it_needs(words: str) -> None:
    code = f"""
import sys
from gateway.cli import main
try:
    main({words})
except SystemExit:
    pass
heavy = {{"pydantic", "pydantic_settings", "yaml", "aiohttp", "opentelemetry", "redis", "uvloop", "asyncio"}}
print(sorted(heavy & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_the_package_is_the_command(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gateway", "check", "--config", configuration(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "ok: 0 backends, 0 models, 1 keys\n")


@pytest.mark.slow
def test_a_reader_that_left_is_no_crash() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "gateway", "check", "--schema"]
    run = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    assert (run.returncode, run.stderr) == (1, "")
