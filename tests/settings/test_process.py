import pytest

from gateway.settings.findings import Findings
from gateway.settings.options import ProcessOptions
from gateway.settings.process import read_process

SECRET = "s3cret-value-that-must-not-show"


def said(environment: dict[str, str]) -> list[str]:
    findings = Findings()
    assert read_process(environment, findings) == ProcessOptions()
    return [str(problem) for problem in findings.problems]


def test_every_variable_of_the_contract_is_read() -> None:
    findings = Findings()
    found = read_process(
        {
            "GATEWAY_HOST": "::1",
            "GATEWAY_PORT": "8080",
            "GATEWAY_CONTROL_HOST": "127.0.0.1",
            "GATEWAY_CONTROL_PORT": "0",
            "GATEWAY_WORKERS": "4",
            "GATEWAY_POP": "fra",
            "GATEWAY_STATE": "redis://:s3cret@cache:6379",
            "GATEWAY_GEOIP_DB": "/data/geo.mmdb",
            "GATEWAY_ADMIN_TOKEN": "t",
            "GATEWAY_KEY_PEPPER": "p",
            "GATEWAY_LOG_LEVEL": "debug",
        },
        findings,
    )
    assert findings.problems == []
    assert found == ProcessOptions(
        host="::1",
        port=8080,
        control_host="127.0.0.1",
        control_port=0,
        workers=4,
        pop="fra",
        state="redis://:s3cret@cache:6379",
        geoip_db="/data/geo.mmdb",
        admin_token="t",
        key_pepper="p",
        log_level="debug",
    )


def test_only_the_mapping_is_read_and_never_the_process_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "1234")
    assert read_process({}, Findings()) == ProcessOptions()


def test_other_variables_are_nobodys_business() -> None:
    findings = Findings()
    found = read_process(
        {"GATEWAY_WIRE_CORPUS": "x", "GATEWAY_CONFIG": "y", "PORT": "z", "gateway_port": "1"}, findings
    )
    assert (found, findings.problems) == (ProcessOptions(), [])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "x", "isn't a whole number; set GATEWAY_PORT to digits alone"),
        ("PORT", "", "isn't a whole number; set GATEWAY_PORT to digits alone"),
        ("PORT", "65536", "is out of range; the nearest allowed is 65535"),
        ("PORT", "-1", "is out of range; the nearest allowed is 0"),
        (
            "PORT",
            "tcp://10.0.0.1:80",
            "was set by Kubernetes for a service of this name; set enableServiceLinks: false, or rename the service",
        ),
        ("WORKERS", "0", "is out of range; the nearest allowed is 1"),
        ("HOST", "a b", "isn't a host or an address; write 127.0.0.1, 0.0.0.0, ::1 or a name"),
        ("POP", "a b", "isn't a name; use letters, digits, dot, dash and underscore, at most 63"),
        (
            "LOG_LEVEL",
            "loud",
            "isn't one of the words it may be; set GATEWAY_LOG_LEVEL to debug, info, warning or error",
        ),
        ("STATE", f"redis://:{SECRET}@x@h", "has two @; escape the one in its password as %40"),
    ],
)
def test_a_wrong_variable_is_one_line_with_its_mend(name: str, value: str, words: str) -> None:
    assert said({f"GATEWAY_{name}": value}) == [f"environment:1: GATEWAY_{name}: {words}"]


@pytest.mark.parametrize("name", ["GATEWAY_ADMIN_TOKEN", "GATEWAY_KEY_PEPPER"])
@pytest.mark.parametrize("value", ["", f"{SECRET}\n", f"{SECRET} x", f"{SECRET}\0", f"{SECRET}\udcff", f"é{SECRET}"])
def test_a_secret_with_a_line_break_or_worse_is_refused_and_never_shown(name: str, value: str) -> None:
    (line,) = said({name: value})
    assert line == (
        f"environment:1: {name}: is empty, or not one line of printable ASCII without spaces; "
        f"set {name} to the secret alone"
    )


def test_all_wrong_variables_are_said_at_once() -> None:
    assert len(said({"GATEWAY_PORT": "x", "GATEWAY_HOST": "a b", "GATEWAY_WORKERS": "many"})) == 3
