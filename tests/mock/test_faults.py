import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mock.faults import FAULTS, Faults, Standing, Takes, parse_fault, parse_faults


@pytest.mark.parametrize(
    ("spec", "name", "value", "times"),
    [
        ("stall", "stall", None, None),
        ("stall=2s", "stall", 2.0, None),
        ("reset=300", "reset", 300, None),
        ("500*2", "500", None, 2),
        ("429=5*1", "429", 5, 1),
        ("529", "529", None, None),
        ("wrong_length=-3", "wrong_length", -3, None),
        ("redirect=http://sink.example/a?b=c", "redirect", "http://sink.example/a?b=c", None),
        ("usage=zero", "usage", "zero", None),
        (" cut=1 ", "cut", 1, None),
    ],
)
def test_a_spec_is_name_value_and_how_often(spec: str, name: str, value: object, times: int | None) -> None:
    fault = parse_fault(spec)
    assert (fault.name, fault.value, fault.times) == (name, value, times)


@pytest.mark.parametrize(
    "spec", ["", "nothing_like_it", "reset", "reset=x", "reset=-1", "stall=2", "html=1", "usage=some", "200", "Stall"]
)
def test_a_misspelt_spec_says_so(spec: str) -> None:
    with pytest.raises(ValueError, match=r"takes|no fault|is not"):
        parse_fault(spec)


def test_a_header_holds_several_faults() -> None:
    faults = Faults(parse_faults("split_utf8; trickle=100;"))
    assert "split_utf8" in faults
    assert faults.count("trickle") == 100
    assert faults.specs == ("split_utf8", "trickle=100")


def test_values_are_read_by_their_kind() -> None:
    faults = Faults(parse_faults("stall=1s;reset=7;redirect=u;404"))
    assert (faults.seconds("stall"), faults.count("reset"), faults.text("redirect"), faults.status) == (
        1,
        7,
        "u",
        "404",
    )
    assert (faults.seconds("reset"), faults.count("stall"), faults.text("absent")) == (None, None, "")


def test_a_fault_for_the_first_two_is_gone_for_the_third() -> None:
    standing = Standing(["500*2", "html"])
    taken = [standing.take() for _ in range(3)]
    assert ["500" in faults for faults in taken] == [True, True, False]
    assert ["html" in faults for faults in taken] == [True, True, True]
    assert standing.specs == ["html"]


def test_a_requests_own_faults_come_on_top_of_the_standing_ones() -> None:
    faults = Standing(["tpot=5ms"]).take("cut=2")
    assert faults.seconds("tpot") == pytest.approx(0.005)
    assert faults.count("cut") == 2


def test_refusals_are_used_up_by_connections_and_not_by_requests() -> None:
    standing = Standing(["refuse*1"])
    assert "refuse" not in standing.take()
    assert [standing.take_refusal() for _ in range(2)] == [True, False]


def test_a_misspelt_spec_leaves_the_standing_faults_as_they_were() -> None:
    standing = Standing(["stall"])
    with pytest.raises(ValueError, match="no fault"):
        standing.set(["500", "stal"])
    assert standing.holds("stall")


def test_a_fault_for_no_request_at_all_does_not_stand() -> None:
    assert Standing(["500*0"]).specs == []


@given(st.sampled_from(sorted(FAULTS)), st.integers(0, 10**9), st.integers(1, 99))
def test_every_named_fault_takes_the_kind_of_value_it_says(name: str, number: int, times: int) -> None:
    example = {
        Takes.NOTHING: "",
        Takes.COUNT: f"={number}",
        Takes.SIGNED: f"=-{number}",
        Takes.MAYBE_COUNT: "",
        Takes.SECONDS: f"={number}ms",
        Takes.MAYBE_SECONDS: f"={number}s",
        Takes.USAGE: "=missing",
        Takes.TEXT: "=text",
    }[FAULTS[name][0]]
    fault = parse_fault(f"{name}{example}*{times}")
    assert (fault.name, fault.times) == (name, times)
