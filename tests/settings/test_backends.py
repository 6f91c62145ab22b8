import pytest

from gateway.settings.backends import hourly, timeouts
from gateway.settings.models import TimeoutsRow
from gateway.settings.scalars import Unclear
from gateway.settings.shape import Backend, Price, Settings, Target, Timeouts
from tests.settings.conftest import Tree

HEAD = "state: memory\ncallers: callers.yaml\n"
KEY = {"OPENAI_API_KEY": "sk-s3cret"}
OPENAI = 'openai: {provider: openai, api_key: "${OPENAI_API_KEY}"}'


def config(backend: str, models: str = "", head: str = "") -> str:
    return f"{HEAD}{head}backends:\n  {backend}\n" + (f"models:\n  {models}\n" if models else "")


def backend(tree: Tree, row: str, environment: dict[str, str] | None = None, head: str = "") -> Backend:
    (found,) = tree.settings(config(row, head=head), environment or KEY).backends.values()
    return found


def targets(settings: Settings) -> tuple[Target, ...]:
    (found,) = settings.models.values()
    return found


def test_a_backend_takes_its_providers_url_and_its_own_key(tree: Tree) -> None:
    found = backend(tree, OPENAI)
    assert found.base_urls == ("https://api.openai.com/v1",)
    assert found.api_key.reveal() == "sk-s3cret"
    assert found.provider.name == "openai"
    assert (found.country, found.processes_in) == ("", ())
    assert (found.tier, found.retention, found.training) == ("external", "unknown", "unknown")


def test_where_it_computes_is_its_country_unless_said(tree: Tree) -> None:
    assert backend(tree, OPENAI.replace('}"', '}", country: NO')).processes_in == ("NO",)
    assert backend(tree, OPENAI.replace('}"', '}", country: NO, processes_in: [US, EU]')).processes_in == ("US", "EU")
    assert backend(tree, OPENAI.replace('}"', '}", processes_in: [anywhere]')).processes_in == ("anywhere",)


def test_a_providers_country_is_not_taken_for_the_backends(tree: Tree) -> None:
    """Where a company sits says nothing of where its machines compute."""
    found = backend(tree, OPENAI)
    assert found.provider.country == "US"
    assert found.country == ""


def test_a_server_of_ones_own_gives_its_address(tree: Tree) -> None:
    row = (
        "v: {provider: vllm, base_url: 'http://10.1.0.7:8000/', location: [50.11, 8.68], "
        "slots: 4, carbon_g_per_kwh: 380}"
    )
    found = backend(tree, row, head="private_networks: [10.1.0.0/16]\n")
    assert found.base_urls == ("http://10.1.0.7:8000",)
    assert (found.location, found.slots, found.grams) == ((50.11, 8.68), 4, (380.0,))
    assert found.tier == "self_hosted"


def test_what_policies_choose_by_reaches_the_backend(tree: Tree) -> None:
    row = "hardware: {class: npu}, elastic: true, usd_per_kwh: 0.2"
    found = backend(tree, f"v: {{provider: vllm, base_url: 'http://127.0.0.1:2000', {row}}}")
    assert (found.hardware, found.elastic, found.usd_per_kwh, found.grams) == ("npu", True, 0.2, ())


def test_metrics_may_be_at_another_port(tree: Tree) -> None:
    row = "v: {provider: triton_generate, base_url: 'http://127.0.0.1:2000'"
    assert backend(tree, row + ", metrics_port: 8002}").metrics_port == 8002
    assert backend(tree, row + "}").metrics_port == 0


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("provider: vllm, metrics_port: 22", "22 is no port of a model server; use 80, 443, or one from 1024 up"),
        ("provider: vllm, metrics_port: 0", "0 is no port of a model server; use 80, 443, or one from 1024 up"),
        ("provider: mlx, metrics_port: 8002", "nobody looks at the metrics of mlx; remove it"),
        (
            "provider: vllm, tier: external, metrics_port: 8002",
            "nobody looks at an external backend; remove it, or add tier: self_hosted",
        ),
    ],
)
def test_a_port_of_metrics_that_nobody_reads_is_refused(tree: Tree, row: str, line: str) -> None:
    said = tree.said(config(f"v: {{{row}, base_url: 'http://127.0.0.1:2000'}}"), KEY)
    assert said == [f"gateway.yaml:4: backends.v.metrics_port: {line}"]


HOURLY = tuple(float(hour * 10) for hour in range(24))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(str(hour * 10) for hour in range(24)),
        ",".join(f" {hour * 10}.0" for hour in range(24)) + "\n",
        "hour,grams\n" + "\n".join(f"{hour},{hour * 10}" for hour in reversed(range(24))),
        "\ufeffhour,zone,grams\r\n" + "\r\n".join(f"{hour:02},DE,{hour * 10}" for hour in range(24)) + "\r\n\r\n",
    ],
    ids=["lines", "one line", "rows in any order", "rows with more columns"],
)
def test_a_grid_is_24_numbers_or_24_rows(tree: Tree, text: str) -> None:
    tree.write("grid.csv", text)
    row = "v: {provider: vllm, base_url: 'http://127.0.0.1:2000', carbon_g_per_kwh: {file: grid.csv}}"
    assert backend(tree, row).grams == HOURLY
    assert str(tree.root / "grid.csv") in tree.settings(config(row)).sources


def test_a_grid_may_stand_in_the_file_itself(tree: Tree) -> None:
    row = f"v: {{provider: vllm, base_url: 'http://127.0.0.1:2000', carbon_g_per_kwh: {list(HOURLY)}}}"
    assert backend(tree, row).grams == HOURLY


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "has 0 numbers"),
        ("1,2,3", "has 3 numbers"),
        ("\n".join(["5"] * 23 + ["x"]), "doesn't have a carbon intensity for each hour"),
        ("\n".join(["5"] * 23 + ["9999"]), "doesn't have a carbon intensity for each hour"),
        ("\n".join(f"{hour % 23},5" for hour in range(24)), "doesn't have a carbon intensity for each hour"),
        ("\n".join(["nan"] * 24), "has 23 numbers"),
    ],
)
def test_a_grid_that_lacks_an_hour_is_refused(text: str, what: str) -> None:
    with pytest.raises(Unclear) as caught:
        hourly(text.encode())
    assert (caught.value.what, caught.value.mend) == (what, "write 24 numbers, or 24 rows such as 0,380")


def test_a_grid_that_is_not_there_is_said(tree: Tree) -> None:
    row = "v: {provider: vllm, base_url: 'http://127.0.0.1:2000', carbon_g_per_kwh: {file: gone.csv}}"
    (line,) = tree.said(config(row))
    assert line.startswith("gateway.yaml:4: backends.v.carbon_g_per_kwh: gone.csv can't be opened")


def test_several_paths_to_one_server_are_kept_in_order(tree: Tree) -> None:
    row = "v: {provider: vllm, base_url: ['http://127.0.0.1:2000', 'http://localhost:2000'], tier: edge}"
    found = backend(tree, row)
    assert found.base_urls == ("http://127.0.0.1:2000", "http://localhost:2000")
    assert found.tier == "edge"


def test_an_external_url_of_a_server_is_external_only_when_its_provider_is(tree: Tree) -> None:
    assert backend(tree, "v: {provider: vllm, base_url: 'https://gpu.example'}").tier == "self_hosted"
    assert backend(tree, OPENAI.replace('}"', '}", base_url: "https://eu.api.openai.com/v1"')).tier == "external"


def test_placeholders_are_filled_from_keys_of_the_same_name(tree: Tree) -> None:
    row = 'a: {provider: azure_openai, resource: acme-eu, api_key: "${OPENAI_API_KEY}"}'
    found = backend(tree, row)
    assert found.base_urls == ("https://acme-eu.openai.azure.com/openai/v1",)
    assert found.provider.url == found.base_urls[0]


def test_a_models_placeholder_stays_for_later(tree: Tree) -> None:
    row = 'a: {provider: azure_openai_deployments, resource: acme, api_key: "${OPENAI_API_KEY}"}'
    assert "{model}" in backend(tree, row).provider.paths["chat"]


def test_a_base_url_makes_placeholders_needless(tree: Tree) -> None:
    row = 'a: {provider: azure_openai, base_url: "https://mine.example/v1", api_key: "${OPENAI_API_KEY}"}'
    assert backend(tree, row).base_urls == ("https://mine.example/v1",)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("a: {provider: opena}", "a.provider: opena isn't a provider; did you mean openai?"),
        (
            "a: {provider: openai}",
            'a.api_key: is missing: openai wants a key; add api_key: "${OPENAI_API_KEY}"',
        ),
        (
            "a: {provider: openai, api_key: sk-s3cret}",
            "a.api_key: a secret written into the file; write ${NAME} and set NAME, or file:/run/secrets/x",
        ),
        (
            'a: {provider: openai, api_key: "${GONE}"}',
            "a.api_key: GONE is not set in the environment; set GONE, or write file:/run/secrets/x",
        ),
        (
            "a: {provider: mock, base_url: 'http://127.0.0.1:1024', api_key: \"${OPENAI_API_KEY}\"}",
            "a.api_key: mock takes no key; remove it",
        ),
        (
            "a: {provider: vllm}",
            "a.base_url: is missing: vllm has no address of its own; add base_url: http://127.0.0.1:8000",
        ),
        ("a: {provider: vllm, endpoints: {dns: 'x:8000'}}", "a.endpoints: endpoints are not built yet; use base_url"),
        (
            "a: {provider: vllm, base_url: 'http://10.1.0.7:8000'}",
            "a.base_url: 10.1.0.7 is a private address; list its network in private_networks",
        ),
        (
            "a: {provider: vllm, base_url: ['https://x.example', 'http://y.example']}",
            "a.base_url[1]: http to a public host; write https, or list its network in private_networks",
        ),
        (
            "a: {provider: vllm, base_url: ['https://x.example', 'https://X.example/']}",
            "a.base_url: the same URL twice; keep one of them",
        ),
        (
            'a: {provider: azure_openai, api_key: "${OPENAI_API_KEY}"}',
            "a.resource: is missing: the URL of azure_openai needs it; add resource: …",
        ),
        (
            'a: {provider: openai, resource: x, api_key: "${OPENAI_API_KEY}"}',
            "a.resource: the URL of openai has no place for it; remove it",
        ),
    ],
)
def test_a_wrong_backend_is_one_line_with_its_mend(tree: Tree, row: str, line: str) -> None:
    assert tree.said(config(row), KEY) == [f"gateway.yaml:4: backends.{line}"]


def test_an_optional_key_may_be_left_out_or_given(tree: Tree) -> None:
    row = "v: {provider: vllm, base_url: 'http://127.0.0.1:2000'}"
    assert not backend(tree, row).api_key
    given = row.replace("}", ', api_key: "${OPENAI_API_KEY}"}')
    assert backend(tree, given).api_key.reveal() == "sk-s3cret"


def test_a_secret_from_a_file_makes_the_file_a_source(tree: Tree) -> None:
    path = tree.write("openai.key", "sk-s3cret\n")
    settings = tree.settings(config("a: {provider: openai, api_key: 'file:openai.key'}"))
    assert settings.backends["a"].api_key.reveal() == "sk-s3cret"
    assert str(path) in settings.sources


def test_a_pop_must_be_one_of_pops_yaml(tree: Tree) -> None:
    tree.write("pops.yaml", "fra: {url: 'https://fra.example', region: eu, country: DE, location: [50, 8]}\n")
    row = OPENAI.replace('}"', '}", pop: frb')
    assert tree.said(config(row), KEY) == [
        "gateway.yaml:4: backends.openai.pop: frb isn't a POP; did you mean fra?",
    ]


def test_a_target_carries_what_its_row_says(tree: Tree) -> None:
    row = (
        "gpt: [{backend: openai, model: gpt-4o, quantization: bf16, weight: 2, order: 1, context_window: 8192, "
        "capabilities: [tools], price: {usd_per_mtok_in: 1}}]"
    )
    (target,) = targets(tree.settings(config(OPENAI, row), KEY))
    assert target.backend.name == "openai"
    assert (target.model, target.quantization, target.weight, target.order) == ("gpt-4o", "bf16", 2.0, 1)
    assert (target.context_window, target.capabilities) == (8192, ("tools",))
    assert target.price == Price(usd_per_mtok_in=1.0)


def test_times_are_the_targets_then_the_backends_then_the_defaults(tree: Tree) -> None:
    row = OPENAI.replace('}"', '}", timeouts: {first_token: 5s, idle: 6s}')
    models = "gpt: [{backend: openai, model: a, timeouts: {first_token: 1s}}]"
    (target,) = targets(tree.settings(config(row, models), KEY))
    assert target.timeouts == Timeouts(connect_s=1.0, first_token_s=1.0, idle_s=6.0, total_s=590.0)
    assert target.backend.timeouts == Timeouts(connect_s=1.0, first_token_s=5.0, idle_s=6.0, total_s=590.0)


def test_a_reasoning_model_is_given_more_time_unless_said(tree: Tree) -> None:
    models = (
        "o: [{backend: openai, model: a, reasoning: true}, "
        "{backend: openai, model: b, reasoning: true, timeouts: {idle: 9s}}]"
    )
    first, second = targets(tree.settings(config(OPENAI, models), KEY))
    assert (first.timeouts.first_token_s, first.timeouts.idle_s) == (120.0, 60.0)
    assert (second.timeouts.first_token_s, second.timeouts.idle_s) == (120.0, 9.0)


def test_the_first_row_that_names_a_time_decides_it() -> None:
    first = TimeoutsRow.model_validate({"idle": "1s"})
    second = TimeoutsRow.model_validate({"idle": "2s", "total": "3s"})
    found = timeouts(first, second, otherwise=Timeouts(connect_s=4.0))
    assert found == Timeouts(connect_s=4.0, idle_s=1.0, total_s=3.0)


def test_a_glob_may_hand_on_the_part_it_matched(tree: Tree) -> None:
    settings = tree.settings(config(OPENAI, '"openai/*": [{backend: openai, model: "*"}]'), KEY)
    assert settings.models["openai/*"][0].model == "*"


@pytest.mark.parametrize(
    ("models", "line"),
    [
        ("m: [{backend: opnai, model: a}]", "m[0].backend: opnai isn't a backend; did you mean openai?"),
        ('m: [{backend: openai, model: "*"}]', "m[0].model: * where the name has no single *; write the model's name"),
        (
            '"a*b*": [{backend: openai, model: "*"}]',
            "a*b*[0].model: * where the name has no single *; write the model's name",
        ),
        (
            '"a/*": [{backend: openai, model: "x-*"}]',
            "a/*[0].model: a glob that isn't * alone; write \"*\" for the part the name's glob matched",
        ),
        (
            "m: [{backend: openai, model: a}, {backend: openai, model: a}]",
            "m[1]: the same backend and model again; remove it, or use weight",
        ),
        (
            "m: [{backend: openai, model: a, weight: 0}, {backend: openai, model: b, weight: 0}]",
            "m: every weight is 0, so nothing is ever chosen; give one target a weight above 0",
        ),
        (
            "mock/x: [{backend: openai, model: a}]",
            "mock/x: mock/ is the stand-in servers' own; choose another name",
        ),
        ("m: [{backend: openai, model: a, weight: -1}]", "m[0].weight: -1 is out of range; write at least 0"),
        (
            "m: [{backend: openai, model: a, weight: .inf}]",
            "m[0].weight: .inf isn't a number that could be meant here; write a finite number",
        ),
        ("m: [{backend: openai, model: a, weight: }]", "m[0].weight: is left blank; write a value, or remove the key"),
        (
            "m: [{backend: openai, model: a, timeouts: {total: 0s}}]",
            "m[0].timeouts.total: 0s is out of range; write 1ms to 1h",
        ),
        (
            "m: [{backend: openai, model: a, timeouts: {total: 1000000000s}}]",
            "m[0].timeouts.total: 1000000000s is out of range; write 1ms to 1h",
        ),
    ],
)
def test_a_wrong_model_is_one_line_with_its_mend(tree: Tree, models: str, line: str) -> None:
    assert tree.said(config(OPENAI, models), KEY) == [f"gateway.yaml:6: models.{line}"]


def test_a_target_of_a_wrong_backend_is_not_a_second_problem(tree: Tree) -> None:
    text = config("a: {provider: opena}", "m: [{backend: a, model: x}]")
    assert len(tree.said(text, KEY)) == 1
    text = config("a: {country: DE}", "m: [{backend: a, model: x}]")
    assert tree.said(text, KEY) == ["gateway.yaml:4: backends.a.provider: is missing; add it"]


def test_a_backend_of_another_pop_is_not_called_from_here(tree: Tree) -> None:
    text = """\
state: memory
callers: callers.yaml
backends:
  near: {provider: vllm, base_url: 'http://127.0.0.1:2000', pop: fra}
  far: {provider: vllm, base_url: 'http://127.0.0.1:2001', pop: iad}
models:
  both: [{backend: far, model: m}, {backend: near, model: m}]
  away: [{backend: far, model: m}]
"""
    reading = tree.reading(text, {"GATEWAY_POP": "fra"})
    assert reading.settings is not None
    assert set(reading.settings.backends) == {"near", "far"}
    assert [target.backend.name for target in reading.settings.models["both"]] == ["near"]
    assert reading.settings.models["away"] == ()
    (note,) = reading.notes
    assert (note.line, note.what) == (8, "every backend of it is dialled from other POPs only")
    assert tree.settings(text).models["both"] == ()


def test_a_target_of_weight_0_is_never_called(tree: Tree) -> None:
    models = "m: [{backend: openai, model: a, weight: 0}, {backend: openai, model: b}]"
    (target,) = targets(tree.settings(config(OPENAI, models), KEY))
    assert target.model == "b"
