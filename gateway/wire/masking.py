"""What of a backend's own words a caller may read: no keys, no addresses, no hosts, at most 2 KiB, on one line.

However hostile the words are, the work is bounded: only the first 4 KiB are looked at, and no pattern is unbounded.
"""

import re
from ipaddress import ip_address
from typing import Final

MESSAGE_BYTES: Final = 2048
_READ_CHARACTERS: Final = 4096
_INK: Final = bytes(range(0x21, 0x7F)).decode()

_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]{0,31}://[^\s\"'<>`]{0,4096}", re.IGNORECASE | re.ASCII)

# Words that tell of a key, and the key. A key has a digit or a star in it: `api_key: must be a string` has none.
_SAID: Final = (
    r"(?P<said>\b(?:(?:api[-_ ]?key|access[-_ ]token|secret|password|authorization)[\"']?(?: provided| is)?"
    r" ?[=:] ?[\"']?(?:bearer |basic )?|bearer[ :]{1,3}))(?=[a-z_.~+/*-]{0,64}[0-9*])[\w.~+/=*-]{4,512}"
)
# Vendors' keys begin with a mark. The mark alone says little (`sk-learn`), so a digit or a star must follow.
_MARKED: Final = (
    r"\b(?:sk|pk|rk|gsk|csk|xai|nvapi|pplx|hf|fw|r8|tgp|ghp|gho|ghs|glpat|sess)[-_]"
    r"(?=[a-z_.*-]{0,64}[0-9*])[\w.*-]{6,512}"
)
_FIXED: Final = (
    r"\b(?-i:AIza[\w-]{16,128}|A[KS]IA[0-9A-Z]{12,32}|ya29\.[\w-]{16,512}|github_pat_\w{16,128}"
    r"|(?:org|proj)[-_][A-Za-z0-9]{16,64}|eyJ[\w-]{8,2048}(?:\.[\w-]{1,2048}){1,2})"
)
_STARRED: Final = r"[\w-]{0,64}\*{3,256}[\w*-]{0,256}"
_UUID: Final = r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
_KEY: Final = re.compile(f"{_SAID}|{_MARKED}|{_FIXED}|{_STARRED}|{_UUID}", re.IGNORECASE | re.ASCII)

_RUN: Final = re.compile(r"[\w.~+/=-]{20,4096}", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9]{20,4096}")
# Where letters, cases and digits change. In words that is rare, in random characters it is every second one.
_TURN: Final = re.compile(r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])")
_RANDOM_TURNS: Final = 0.2
_LONGEST_WORD: Final = 40
# Names of the caller's own things, which he needs to find his mistake.
_OWN: Final = re.compile(r"(?:call|chatcmpl|cmpl|msg|resp|rs|fc|toolu|file|batch|thread|asst)[-_]\w{1,64}\Z", re.ASCII)

_HOST: Final = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b"
    r"|\b(?:[a-z0-9][a-z0-9-]{0,62}\.){1,8}"
    r"(?:com|net|org|io|ai|dev|app|cloud|co|eu|de|uk|cn|jp|fr|nl|ch|sh|tech|xyz|biz|example|test"
    r"|local|localdomain|internal|intranet|svc|lan|corp)(?![\w-])(?::\d{1,5}\b)?"
    r"|\blocalhost(?::\d{1,5})?\b"
    r"|\b[a-z0-9][a-z0-9-]{0,62}:(?:80|443|\d{4,5})\b",
    re.IGNORECASE | re.ASCII,
)
_COLONS: Final = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}", re.IGNORECASE | re.ASCII)


def mask(text: str) -> str:
    """The text with `[url]`, `[key]` and `[host]` where one was; model names, fields and values stay."""
    if len(text) > _READ_CHARACTERS:
        # A key that is cut in two would no longer look like one.
        text = text[:_READ_CHARACTERS].rstrip(_INK)
    text = _URL.sub("[url]", text)
    text = _KEY.sub(r"\g<said>[key]", text)
    text = _RUN.sub(_judged, text)
    text = _COLONS.sub(_addressed, text)
    text = _HOST.sub("[host]", text)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text.encode()[:MESSAGE_BYTES].decode(errors="ignore")


def _judged(run: re.Match[str]) -> str:
    text = run.group()
    if _OWN.match(text) or not any(map(_is_random, _SEGMENT.findall(text))):
        return text
    return "[key]"


def _is_random(segment: str) -> bool:
    if len(_TURN.findall(segment)) >= _RANDOM_TURNS * len(segment):
        return True
    return len(segment) >= _LONGEST_WORD and (segment.islower() or segment.isupper())


def _addressed(colons: re.Match[str]) -> str:
    try:
        ip_address(colons.group())
    except ValueError:
        return colons.group()
    return "[host]"
