"""A golden file, and what comes out now."""

from pathlib import Path


def same(path: Path, now: str, *, update: bool) -> None:
    if update:
        path.write_text(now, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == now, (
        f"{path.name} has changed: pytest tests/golden --update-golden, then review it"
    )
