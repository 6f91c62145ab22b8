from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway.settings import models
from gateway.settings.fields import Row
from gateway.settings.options import ServeOptions
from gateway.settings.reader import Reader, is_loopback
from gateway.settings.shape import Caps, Deadlines, Listen, Settings, Sinks, Tls, TrustedProxy
from gateway.settings.yaml import Value
from tests.settings.conftest import Tree

HEAD = "state: memory\ncallers: callers.yaml\n"
DEV = ServeOptions(dev=True)


def test_two_lines_are_a_configuration(tree: Tree) -> None:
    settings = tree.settings(HEAD)
    assert (settings.listen, settings.caps, settings.deadlines) == (Listen(), Caps(), Deadlines())
    assert (settings.state, settings.workers, settings.log_level, settings.drain_s) == ("memory", 1, "info", 600.0)
    assert (settings.pop, settings.dev, settings.trusted_proxies, settings.private_networks) == ("", False, (), ())
    assert not settings.admin_token
    assert not settings.key_pepper


def test_every_section_reaches_the_settings(tree: Tree) -> None:
    text = f"""\
{HEAD}pop: fra
listen: {{host: 0.0.0.0, port: 9000, unix: run.sock, names: [GW.example], control_host: 10.0.0.1, control_port: 9001}}
trusted_proxies: [{{from: 10.0.3.0/24, address: x-forwarded-for}}, {{from: cloudflare, country: cf-ipcountry}}]
private_networks: [10.1.0.0/16]
drain: 5m
caps: {{headers: 16KiB, header: 4KiB, header_fields: 32, uri: 2KiB, json: 1MiB, files: 2MiB, answer: 3MiB, event: 4KiB,
        connections: 5, per_address: 6}}
deadlines: {{headers: 1s, body: 2s, body_most: 3s, idle: 4s, write_stall: 5s, tls: 6s}}
"""
    settings = tree.settings(text)
    assert settings.listen == Listen("0.0.0.0", 9000, "run.sock", None, ("gw.example",), "10.0.0.1", 9001)
    assert settings.trusted_proxies == (
        TrustedProxy("10.0.3.0/24", "x-forwarded-for", ""),
        TrustedProxy("cloudflare", "", "cf-ipcountry"),
    )
    assert (settings.pop, settings.private_networks, settings.drain_s) == ("fra", ("10.1.0.0/16",), 300.0)
    assert settings.caps == Caps(
        header_bytes=16 << 10,
        header_field_bytes=4 << 10,
        header_fields=32,
        uri_bytes=2 << 10,
        json_bytes=1 << 20,
        files_bytes=2 << 20,
        answer_bytes=3 << 20,
        event_bytes=4 << 10,
        connections=5,
        per_address=6,
    )
    assert settings.deadlines == Deadlines(
        headers_s=1.0, body_s=2.0, body_most_s=3.0, idle_s=4.0, write_stall_s=5.0, tls_s=6.0
    )


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tree: Tree) -> None:
    text = HEAD + "pop: fra\nlisten: {port: 1001, control_port: 1002, host: 127.0.0.2}\n"
    around = {"GATEWAY_PORT": "2001", "GATEWAY_CONTROL_PORT": "2002", "GATEWAY_WORKERS": "2", "GATEWAY_POP": "iad"}
    listen = tree.settings(text).listen
    assert (listen.host, listen.port, listen.control_port) == ("127.0.0.2", 1001, 1002)
    settings = tree.settings(text, around)
    assert (settings.listen.port, settings.listen.control_port, settings.workers, settings.pop) == (
        2001,
        2002,
        2,
        "iad",
    )
    options = ServeOptions(port=3001, control_port=0, host="127.0.0.3", workers=3)
    settings = tree.settings(text, around, options)
    assert (settings.listen.host, settings.listen.port, settings.listen.control_port) == ("127.0.0.3", 3001, 0)
    assert settings.workers == 3


def test_the_environments_secrets_reach_the_settings(tree: Tree) -> None:
    around = {"GATEWAY_ADMIN_TOKEN": "t0ken", "GATEWAY_KEY_PEPPER": "pepper", "GATEWAY_LOG_LEVEL": "debug"}
    settings = tree.settings(HEAD, around)
    assert (settings.admin_token.reveal(), settings.key_pepper.reveal()) == ("t0ken", "pepper")
    assert settings.log_level == "debug"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("callers: callers.yaml\n", "gateway.yaml:1: state: must be named; add state: memory"),
        ("state: memory\n", "gateway.yaml:1: callers: is missing: nobody could call; add callers: callers.yaml"),
        (
            "state: memory\ncallers: gone.yaml\n",
            ("gone.yaml:1: file: can't be opened (No such file or directory); name a file that exists and may be read"),
        ),
        ("callers: callers.yaml\nstate: embedded\n", "gateway.yaml:2: state: embedded is not built yet; use memory"),
        ("callers: callers.yaml\nstate: redis://h\n", "gateway.yaml:2: state: redis is not built yet; use memory"),
        (
            "callers: callers.yaml\nstate: {local: x}\n",
            "gateway.yaml:2: state: must be text, not a mapping; write memory",
        ),
        (
            HEAD + "listen: {port: 8081}\n",
            "gateway.yaml:3: listen.control_port: 8081 is the callers' port too; take another",
        ),
        (HEAD + "pop:\n", "gateway.yaml:3: pop: is left blank; write a value, or remove the key"),
        (HEAD + "drain: 600\n", "gateway.yaml:3: drain: 600 has no unit; a duration carries one: write 600s"),
        (HEAD + "private_networks: [10.1.0.0/16, 8.8.8.0/24]\n", None),
        (
            HEAD + "pop: ${GONE}\n",
            "gateway.yaml:3: pop: GONE is not set in the environment; set GONE, or write ${GONE:-default}",
        ),
        ("", "gateway.yaml:1: file: is empty; write at least one key"),
        ("[]", "gateway.yaml:1: file: must be a mapping, not a list"),
    ],
)
def test_a_wrong_file_is_one_line_with_its_mend(tree: Tree, text: str, line: str | None) -> None:
    found = tree.said(text)
    assert len(found) == 1
    if line is not None:
        assert found == [line]


def test_null_is_a_value_only_where_the_contract_writes_it(tree: Tree) -> None:
    tree.settings(HEAD + "listen: {unix: null, tls: ~}\ndecisions: {file: }\n")


def test_numbers_may_come_from_the_environment(tree: Tree) -> None:
    text = HEAD + 'listen: {port: "${P}"}\ncaps: {connections: "${GONE:-77}"}\n'
    settings = tree.settings(text, {"P": "9000"})
    assert (settings.listen.port, settings.caps.connections) == (9000, 77)
    assert tree.said(text, {"P": "many"}) == ["gateway.yaml:3: listen.port: must be a whole number, not text"]


def test_a_secret_in_the_wrong_place_is_never_shown(tree: Tree) -> None:
    for line in ("pop: sk-${S}", "listen: {port: '${S}'}", "drain: ${S}", "state: redis://:${S}x@y@h"):
        text = f"callers: callers.yaml\n{line}\n"
        assert not any("s3cret" in found for found in tree.said(text, {"S": "s3cret value"}))


def test_the_pop_must_be_one_of_pops_yaml_where_there_is_one(tree: Tree) -> None:
    row = "{url: 'https://fra.example', region: eu, country: DE, location: [50, 8]}\n"
    assert tree.settings(HEAD + "pop: anywhere\n").pop == "anywhere"
    tree.write("pops.yaml", f"fra: {row}")
    assert tree.settings(HEAD + "pop: fra\n").pop == "fra"
    assert tree.said(HEAD + "pop: far\n") == ["gateway.yaml:3: pop: far isn't a POP; did you mean fra?"]
    assert tree.said(HEAD, {"GATEWAY_POP": "far"}) == ["gateway.yaml:1: pop: far isn't a POP; did you mean fra?"]
    tree.write("elsewhere.yaml", f"far: {row}")
    assert tree.settings(HEAD + "pop: far\npops: elsewhere.yaml\n").pop == "far"


def test_a_wrong_pops_file_is_said(tree: Tree) -> None:
    tree.write("pops.yaml", "fra: {url: x, region: eu, country: UK, location: [50, 8]}\n")
    assert tree.said(HEAD) == ["pops.yaml:1: fra.country: UK isn't an ISO 3166-1 code; write GB (United Kingdom)"]
    assert "can't be opened" in tree.said(HEAD + "pops: gone.yaml\n")[0]


def test_policies_are_read_in_the_order_of_their_files_each_once(tree: Tree) -> None:
    tree.write("here/b.yaml", "name: b\nrank: 1\nprefer: {objective: cost}\n")
    tree.write("here/a.yaml", "prefer: {objective: latency}\n")
    settings = tree.settings(HEAD + 'policies: ["here/*.yaml", "here/../here/b.yaml"]\n')
    assert [policy.name for policy in settings.policies] == ["a", "b"]
    assert {str(tree.root / "here" / name) for name in ("a.yaml", "b.yaml")} <= set(settings.sources)


def test_a_pattern_of_policies_that_matches_nothing_protects_nobody(tree: Tree) -> None:
    tree.write("here/a.yaml", "require: {training: no}\n")
    assert tree.said(HEAD + 'policies: ["here/*.yaml", "there/*.yaml"]\n') == [
        "gateway.yaml:3: policies[1]: there/*.yaml matches no file; remove it, or write a policy"
    ]


def test_a_policy_may_be_a_link_to_elsewhere(tree: Tree) -> None:
    tree.write("far/away/a.yaml", "require: {training: no}\n")
    (tree.root / "near").symlink_to(tree.root / "far" / "away")
    settings = tree.settings(HEAD + 'policies: ["near/../away/*.yaml"]\n')
    assert [policy.name for policy in settings.policies] == ["a"]


def test_a_policy_that_can_not_be_read_is_said(tree: Tree) -> None:
    tree.write("a.yaml", "a: [")
    (line,) = tree.said(HEAD + "policies: [a.yaml]\n")
    assert line.startswith("a.yaml:1: file: isn't YAML")


def test_a_policy_is_part_of_the_revision(tree: Tree) -> None:
    text = HEAD + "policies: [a.yaml]\n"
    tree.write("a.yaml", "retry: {attempts: 2}\n")
    before = tree.settings(text).revision
    tree.write("a.yaml", "retry: {attempts: 3}\n")
    assert tree.settings(text).revision != before


def test_keys_without_effect_are_noted(tree: Tree) -> None:
    text = f"""\
{HEAD}decisions: {{keep: 10}}
sinks: {{ledger: {{country: DE}}, otlp: {{url: 'http://127.0.0.1:4318', country: FR}}, access_log: {{country: DE}}}}
backends:
  a: {{provider: mock, base_url: 'http://127.0.0.1:2000', hardware: {{class: gpu}}, carbon_g_per_kwh: 5}}
models: {{m: [{{backend: a, model: m, weight: 2}}]}}
trusted_proxies: [{{from: 10.0.0.0/8, address: x-forwarded-for}}, {{from: cloudflare, country: cf-ipcountry}}]
"""
    reading = tree.reading(text, {"GATEWAY_GEOIP_DB": "geo.mmdb"})
    notes = [str(note).replace(f"{tree.root}/", "") for note in reading.notes]
    assert notes == [
        "gateway.yaml:3: decisions: has no effect in this version",
        "gateway.yaml:4: sinks.ledger: has no effect in this version",
        "gateway.yaml:4: sinks.otlp.url: has no effect in this version",
    ]
    assert reading.settings is not None
    assert reading.settings.geoip_db == "geo.mmdb"


def test_standard_output_is_where_the_pop_is_and_traces_are_nowhere_unless_said(tree: Tree) -> None:
    tree.write("pops.yaml", "fra: {url: 'https://fra.gw.example', region: eu, country: DE, location: [50.1, 8.7]}\n")
    assert tree.settings(HEAD).sinks == Sinks()
    assert tree.settings(HEAD + "pop: fra\n").sinks == Sinks(otlp="", access_log="DE")
    told = HEAD + "pop: fra\nsinks: {otlp: {country: FR}, access_log: {country: US}}\n"
    assert tree.settings(told).sinks == Sinks(otlp="FR", access_log="US")
    assert tree.reading(told).notes == []


def test_a_sink_without_a_country_or_with_none_that_exists_is_wrong(tree: Tree) -> None:
    assert tree.said(HEAD + "sinks: {otlp: {country: UK}}\n") == [
        "gateway.yaml:3: sinks.otlp.country: UK isn't an ISO 3166-1 code; write GB (United Kingdom)"
    ]
    [line] = tree.said(HEAD + "sinks: {access_log: {url: 'https://logs.example'}}\n")
    assert line.startswith("gateway.yaml:3: sinks.access_log.country: is missing")


def test_a_proxy_must_be_a_network_or_somebody_known(tree: Tree) -> None:
    assert tree.said(HEAD + "trusted_proxies: [{from: unix}, {from: cloudflair}]\n") == [
        (
            "gateway.yaml:3: trusted_proxies[1].from: cloudflair isn't somebody whose proxies are known; "
            "did you mean cloudflare?"
        )
    ]


def test_a_proxys_name_without_its_network_is_noted(tree: Tree) -> None:
    reading = tree.reading(HEAD + "trusted_proxies: [{from: vercel}]\n")
    (note,) = reading.notes
    assert str(note).endswith(
        "trusted_proxies[0]: nobody knows where vercel calls from, so it has no effect; "
        "add its network: {from: 192.0.2.0/24}"
    )
    text = HEAD + "trusted_proxies: [{from: vercel}, {from: 192.0.2.0/24}]\n"
    assert tree.reading(text).notes == []


def test_tls_files_are_found_beside_the_configuration(tree: Tree) -> None:
    text = HEAD + "listen: {tls: {cert: tls.crt, key: tls.key}}\n"
    assert tree.said(text) == [
        "gateway.yaml:3: listen.tls.cert: tls.crt isn't a file; name the certificate's",
        (
            "gateway.yaml:3: listen.tls.key: tls.key can't be read (No such file or directory); "
            "name a file that exists and may be read"
        ),
    ]
    certificate, key = tree.write("tls.crt", "x"), tree.write("tls.key", "x")
    settings = tree.settings(text)
    assert settings.listen.tls == Tls(str(certificate), str(key))
    assert {str(certificate), str(key)} <= set(settings.sources)
    key.chmod(0o644)
    assert tree.said(text)[0].startswith("gateway.yaml:3: listen.tls.key: tls.key may be read or changed")


def test_under_dev_neither_state_nor_callers_need_naming(tree: Tree) -> None:
    settings = tree.settings("drain: 1s\n", options=DEV)
    assert (settings.state, settings.callers, settings.dev) == ("memory", (), True)


@pytest.mark.parametrize(
    ("options", "text", "environment"),
    [
        (ServeOptions(dev=True, host="0.0.0.0"), "drain: 1s", {}),
        (DEV, "listen: {host: 10.0.0.1}", {}),
        (DEV, "drain: 1s", {"GATEWAY_HOST": "gw.example"}),
        (DEV, "drain: 1s", {"GATEWAY_CONTROL_HOST": "::"}),
        (DEV, "listen: {control_host: 0.0.0.0}", {}),
    ],
)
def test_under_dev_a_host_that_others_reach_is_refused(
    tree: Tree, options: ServeOptions, text: str, environment: dict[str, str]
) -> None:
    (line,) = tree.said(text, environment, options)
    assert "isn't loopback, and --dev is; use 127.0.0.1" in line


def test_loopback_is_what_only_this_machine_reaches() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.com", "")))


def test_without_a_file_dev_serves_a_built_in_one() -> None:
    reading = Reader(None, {}, DEV).read()
    assert isinstance(reading.settings, Settings)
    assert reading.settings.state == "memory"


def test_sources_are_the_files_that_were_read_and_the_revision_is_of_what_they_said(tree: Tree) -> None:
    first = tree.settings(HEAD)
    assert {str(tree.path), str(tree.root / "callers.yaml")} <= set(first.sources)
    assert all(Path(source).is_file() for source in first.sources)
    assert tree.settings(HEAD).revision == first.revision
    assert tree.settings(HEAD + "drain: 1s\n").revision != first.revision


def names_of(kind: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in kind.model_fields.items()]


ROWS = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, Row) and kind is not Row]
words = st.sampled_from(
    sorted({name for kind in ROWS for name in names_of(kind)} | {"a", "mock", "vllm", "mock/x", "*"})
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
    | st.sampled_from(
        ["10s", "32MiB", "NO", "${X}", "${Y:-1}", "file:x", "http://127.0.0.1:2000", "memory", "callers.yaml"]
    )
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=st.dictionaries(words, values, max_size=6), callers=values, around=st.text(max_size=5))
def test_no_configuration_whatsoever_breaks_the_reader(
    tree: Tree, file: dict[str, Value], callers: Value, around: str
) -> None:
    tree.write("callers.yaml", yaml.safe_dump(callers, allow_unicode=False))
    reading = tree.reading(yaml.safe_dump(file, allow_unicode=False), {"X": around})
    assert (reading.settings is None) is bool(reading.problems)
    assert all(problem.line >= 1 and problem.what for problem in reading.problems)


def test_problems_of_all_files_come_together(tree: Tree) -> None:
    tree.write("callers.yaml", "teams: {}\nkeys: {k: {team: x, hash: y}}\n")
    tree.write("pops.yaml", "fra: {}\n")
    lines = tree.said("drian: 1s\nstate: memory\ncallers: callers.yaml\n", {"GATEWAY_PORT": "x"})
    assert {line.split(":")[0] for line in lines} == {"environment", "gateway.yaml", "callers.yaml", "pops.yaml"}


def test_other_gateways_fields_have_an_effect_where_a_file_says_so(tree: Tree) -> None:
    plain = "state: memory\ncallers: callers.yaml\n"
    assert tree.settings(plain).aliases == frozenset()
    tree.write("aliases.yaml", "openrouter: true\nlitellm: false\n")
    assert tree.settings(f"{plain}aliases: aliases.yaml\n").aliases == {"openrouter"}
    tree.write("aliases.yaml", "openruter: true\n")
    assert "openruter" in "".join(tree.said(f"{plain}aliases: aliases.yaml\n"))
