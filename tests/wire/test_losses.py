import pytest

from gateway.errors import UnsupportedFeature
from gateway.wire.losses import Losses, safe


def test_what_is_lost_is_named_in_order_and_once() -> None:
    losses = Losses()
    losses.dropped("top_k")
    losses.mapped("system")
    losses.dropped("top_k")
    assert losses.names() == ["top_k", "system=mapped"]


def test_a_drop_outweighs_what_was_mapped_of_the_same_field() -> None:
    losses = Losses()
    losses.mapped("cache")
    losses.dropped("cache")
    losses.mapped("cache")
    assert losses.names() == ["cache"]


def test_under_strict_a_drop_is_a_refusal_and_a_mapping_is_not() -> None:
    losses = Losses(strict=True)
    losses.mapped("system")
    with pytest.raises(UnsupportedFeature) as refused:
        losses.dropped("top_k")
    assert refused.value.param == "top_k"
    assert losses.names() == ["system=mapped"]


def test_what_would_change_the_question_is_refused_always() -> None:
    with pytest.raises(UnsupportedFeature, match="can carry this field"):
        Losses().refused("n")


@pytest.mark.parametrize(
    ("said", "stands"),
    [
        ("messages[2].content[0]", "messages[2].content[0]"),
        ("x\r\nset-cookie: a=b", "x??set-cookie??a?b"),
        ("größe, 尺寸", "gr??e????"),
        ("a" * 100, "a" * 64),
    ],
)
def test_a_callers_own_name_can_stand_in_a_header_line(said: str, stands: str) -> None:
    assert safe(said) == stands


def test_endless_losses_are_not_all_kept() -> None:
    losses = Losses()
    for number in range(1000):
        losses.dropped(f"field_{number}")
    losses.dropped("field_0")
    assert len(losses.names()) == 32
