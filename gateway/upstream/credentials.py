"""How a place wants to be paid: one function a scheme, each giving header lines."""

from collections.abc import Callable

from gateway.settings.shape import Auth, Secret


def none(auth: Auth, key: Secret) -> str:
    del auth, key
    return ""


def bearer(auth: Auth, key: Secret) -> str:
    del auth
    return f"authorization: Bearer {key.reveal()}\r\n" if key else ""


def header(auth: Auth, key: Secret) -> str:
    return f"{auth.header}: {key.reveal()}\r\n" if key else ""


SCHEMES: dict[str, Callable[[Auth, Secret], str]] = {"none": none, "bearer": bearer, "header": header}


def header_lines(auth: Auth, key: Secret) -> str:
    """The header lines that carry a key; empty where none is needed. KeyError for an unknown scheme."""
    return SCHEMES[auth.scheme](auth, key)
