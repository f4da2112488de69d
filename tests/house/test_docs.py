"""Documents name only files that exist, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.house.source import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|proto|md|toml|sh)|[\w-]+(?:/[\w-]+)+/)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)[^)]*\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_name_what_exists(document: Path) -> None:
    text = document.read_text()
    named = [name for name in FILE.findall(text) if not (ROOT / name).exists()]
    linked = [name for name in LINK.findall(text) if not (document.parent / name).exists()]
    assert named + linked == []


def test_missing_files_are_seen() -> None:
    assert FILE.findall("see `router/none.py` and `router/policy/`, not `a.py` or `x/y`") == [
        "router/none.py",
        "router/policy/",
    ]
    assert LINK.findall("[a](b/c.md#d) [e](https://f)") == ["b/c.md"]
