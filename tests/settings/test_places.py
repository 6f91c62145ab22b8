import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.places import base_url, is_near, private_network
from gateway.settings.scalars import Unclear

NETWORKS = ("10.1.0.0/16", "fc00::/8")


def refused(url: str, networks: tuple[str, ...] = NETWORKS) -> str:
    with pytest.raises(Unclear) as caught:
        base_url(url, networks)
    return caught.value.what


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://API.OpenAI.com:443", "https://api.openai.com"),
        ("https://api.example.:8443/a/b", "https://api.example:8443/a/b"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]/v1", "https://[2606:4700::1111]/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://10.1.0.7:8000", "http://10.1.0.7:8000"),
        ("http://10.1.0.7:80", "http://10.1.0.7"),
        ("http://[fc00:0::7]:8000", "http://[fc00::7]:8000"),
        ("http://vllm:8000", "http://vllm:8000"),
        ("http://vllm.ml.svc:8000", "http://vllm.ml.svc:8000"),
        ("http://vllm.ml.svc.cluster.local:8000", "http://vllm.ml.svc.cluster.local:8000"),
        ("https://10.1.0.7", "https://10.1.0.7"),
        ("https://gateway.example/@x/a:b", "https://gateway.example/@x/a:b"),
    ],
)
def test_a_url_is_written_in_its_one_form(url: str, canonical: str) -> None:
    assert base_url(url, NETWORKS) == canonical


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://api.example", "isn't an http or https URL"),
        ("api.example/v1", "isn't an http or https URL"),
        ("https:///v1", "isn't an http or https URL"),
        ("https://", "isn't an http or https URL"),
        ("https://user:secret@api.example", "holds a user or password"),
        ("https://user@api.example", "holds a user or password"),
        ("https://api.example/v1#x", "has a query or a fragment"),
        ("https://api.example/v1#", "has a query or a fragment"),
        ("https://api.example/v1?key=x", "has a query or a fragment"),
        ("https://api.example\\@evil.example", "holds a backslash, a percent sign, a space or a control character"),
        ("https://api.example/v1\\", "holds a backslash, a percent sign, a space or a control character"),
        ("https://api.example/v 1", "holds a backslash, a percent sign, a space or a control character"),
        ("https://api.example/\r\nhost: x", "holds a backslash, a percent sign, a space or a control character"),
        ("https://api.example/%2e%2e", "holds a backslash, a percent sign, a space or a control character"),
        ("http://[fe80::1%25eth0]:80", "holds a backslash, a percent sign, a space or a control character"),
        ("https://api.example/../admin", "has a path that can be read in two ways"),
        ("https://api.example/./v1", "has a path that can be read in two ways"),
        ("https://api.example//v1", "has a path that can be read in two ways"),
        ("https://api.example/v1;x", "has a path that can be read in two ways"),
        ("https://api.example:22", "port 22 isn't one a model server has"),
        ("http://10.1.0.7:25", "port 25 isn't one a model server has"),
        ("https://api.example:0", "port 0 isn't one a model server has"),
        ("https://api.example:99999", "isn't a URL"),
        ("https://api.example:x", "isn't a URL"),
        ("https://[::1", "isn't a URL"),
        ("http://api.openai.com", "http to a public host"),
        ("http://8.8.8.8", "http to a public host"),
        ("http://[2606:4700::1111]", "http to a public host"),
        ("https://192.168.1.4", "192.168.1.4 is a private address"),
        ("http://10.2.0.7:8000", "10.2.0.7 is a private address"),
        ("https://100.64.0.1", "100.64.0.1 is a private address"),
        ("https://169.254.169.254", "169.254.169.254 isn't the address of a server"),
        ("https://0.0.0.0", "0.0.0.0 isn't the address of a server"),
        ("https://224.0.0.1", "224.0.0.1 isn't the address of a server"),
        ("https://255.255.255.255", "255.255.255.255 isn't the address of a server"),
        ("https://[fe80::1]", "fe80::1 isn't the address of a server"),
        ("https://[::ffff:10.0.0.1]", "an IPv6 address that wraps an IPv4 one"),
        ("https://[::10.0.0.1]", "an IPv6 address that wraps an IPv4 one"),
        ("https://[2002:a00:1::]", "an IPv6 address that wraps an IPv4 one"),
        ("https://[64:ff9b::a00:1]", "an IPv6 address that wraps an IPv4 one"),
        ("http://2130706433", "an IPv4 address in an unusual form"),
        ("http://127.1", "an IPv4 address in an unusual form"),
        ("http://0x7f.1", "an IPv4 address in an unusual form"),
        ("http://0x7f000001", "an IPv4 address in an unusual form"),
        ("http://0177.0.0.1", "an IPv4 address in an unusual form"),
        ("https://bücher.example", "holds other letters than ASCII"),
        ("https://a..example", "isn't a host name"),
        ("https://-a.example", "isn't a host name"),
        ("https://{resource}.example", "isn't a host name"),
        ("https://" + "a" * 3000 + ".example", "is longer than 2048 characters"),
    ],
)
def test_what_could_be_read_in_two_ways_or_leads_inside_is_refused(url: str, what: str) -> None:
    assert refused(url) == what


def test_a_private_name_is_believed_only_where_private_networks_are_named() -> None:
    assert base_url("http://vllm:8000", NETWORKS)
    assert refused("http://vllm:8000", ()) == "http to a public host"
    assert base_url("http://localhost:8000", ())


@given(st.text(alphabet="abc019.:/@[]#?\\%x-", max_size=30), st.sampled_from(["http://", "https://", ""]))
def test_a_canonical_url_is_its_own_canonical_form(rest: str, scheme: str) -> None:
    try:
        found = base_url(scheme + rest, NETWORKS)
    except Unclear:
        return
    assert base_url(found, NETWORKS) == found


def test_a_private_network_is_written_without_host_bits_and_inside_a_private_range() -> None:
    assert private_network("10.1.0.0/16") == "10.1.0.0/16"
    assert private_network("fc00::/7") == "fc00::/7"
    assert private_network("192.168.1.1") == "192.168.1.1/32"
    for text in ("10.1.0.7/16", "ten", "10.0.0.0/33"):
        with pytest.raises(Unclear, match="isn't a network"):
            private_network(text)
    for text in ("0.0.0.0/0", "8.8.8.0/24", "169.254.0.0/16", "127.0.0.0/8", "::/0"):
        with pytest.raises(Unclear, match="isn't inside a private range"):
            private_network(text)


def test_near_is_what_only_this_network_reaches() -> None:
    near = ["http://127.0.0.1:1", "http://10.1.0.7:1", "http://localhost:1", "http://[::1]:1", "http://vllm.ml.svc:1"]
    assert all(is_near(url) for url in near)
    assert not any(is_near(url) for url in ("https://api.openai.com", "https://8.8.8.8"))
