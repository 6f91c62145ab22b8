"""A strict reader of Prometheus text, to hold what we write against the format rather than against ourselves."""

import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? ([^ ]+)")
_ESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}

Labels = tuple[tuple[str, str], ...]


def parse(text: bytes) -> dict[tuple[str, Labels], float]:
    """Every sample by its name and sorted labels. AssertionError at the first thing a scraper would refuse."""
    samples: dict[tuple[str, Labels], float] = {}
    types: dict[str, str] = {}
    current = ""
    assert not text or text.endswith(b"\n")
    for line in text.decode().splitlines():
        if line.startswith("# "):
            _, word, name, said = line.split(" ", 3)
            assert word in {"HELP", "TYPE"}, line
            assert re.fullmatch(_NAME, name), line
            if word == "TYPE":
                assert name not in types, f"{name} has two types"
                assert said in _SUFFIXES, line
                types[name] = said
                current = name
            continue
        found = _SAMPLE.fullmatch(line)
        assert found is not None, line
        assert found[1] in {current + suffix for suffix in _SUFFIXES[types[current]]}, f"{line} is not under its type"
        key = (found[1], tuple(sorted(_labels(found[2] or ""))))
        assert key not in samples, f"{key} is there twice"
        samples[key] = float(found[3])
    return samples


def _labels(text: str) -> list[tuple[str, str]]:
    out: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        assert found is not None, text
        out.append((found[1], re.sub(r'\\["\\n]', lambda escape: _ESCAPED[escape[0]], found[2])))
        at = found.end()
    assert len({name for name, _ in out}) == len(out), text
    return out
