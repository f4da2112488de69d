"""The prose and code the demo model learns from: what comes with Python itself. Knows no tensor.

Python's documentation (`apt-get install python3.11-doc`: the sources that Sphinx keeps beside the pages) and the
docstrings and sources of the standard library, all under the PSF licence. Nothing is fetched: without that package
docstrings, code and `pydoc`'s topics have to do.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

DOCS = Path("/usr/share/doc/python3.11/html/_sources")
DOC_FOLDERS = ("tutorial", "library", "reference", "howto", "faq", "using", "extending", "whatsnew", "installing")
SKIPPED = {"test", "tests", "site-packages", "idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data", "encodings"}
LEAST_CHARS, MOST_FILE_CHARS = 200, 40_000
ROLE = re.compile(r":[\w:+.-]+:`!?~?([^`<]*?)(?:\s*<[^`>]*>)?`")
LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?")
UNDERLINE = re.compile(r"^(=|-|\*|~|\^|#|\"|')\1{3,}$\n?", re.MULTILINE)
FRAME = re.compile(
    r"^\s*\.\. (?:note|warning|seealso|code-block|doctest|testcode|testoutput|rubric)::.*$", re.MULTILINE
)
MARKUP = re.compile(r"^\s*\.\. (?:\w+:)?\w+:: ?", re.MULTILINE)
DIRECTIVE = re.compile(
    r"^\s*\.\. (?:_|index|module|moduleauthor|sectionauthor|highlight|contents|toctree|testsetup|productionlist|"
    r"versionadded|versionchanged|deprecated|availability|cssclass|only|tabularcolumns|bpo|include|literalinclude|image)"
)


def documentation(folder: Path = DOCS) -> Iterator[str]:
    """The text of every chapter, its reST made plain."""
    for name in DOC_FOLDERS:
        for path in sorted((folder / name).rglob("*.rst.txt")):
            text = plain(path.read_text(encoding="utf-8", errors="replace"))
            if len(text) >= LEAST_CHARS:
                yield text


def plain(text: str) -> str:
    """reST as one would read it aloud: roles and links are their words, directives without words are gone."""
    lines = []
    hidden = -1
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if hidden >= 0 and (not line.strip() or indent > hidden):
            continue
        hidden = -1
        if DIRECTIVE.match(line) or (line.startswith(".. ") and "::" not in line):
            hidden = indent
            continue
        lines.append(line.rstrip())
    joined = LINK.sub(r"\1", ROLE.sub(r"\1", "\n".join(lines)))
    for mark in (UNDERLINE, FRAME, MARKUP):
        joined = mark.sub("", joined)
    return re.sub(r"\n{3,}", "\n\n", joined).strip()


def docstrings(root: Path | None = None) -> Iterator[str]:
    """The docstrings of each module of the standard library, one after the other."""
    for _, tree in _modules(root):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [ast.get_docstring(item) or "" for item in ast.walk(tree) if isinstance(item, kinds)]
        text = "\n\n".join(part for part in found if len(part) > 40)
        if len(text) >= LEAST_CHARS:
            yield text


def code(root: Path | None = None) -> Iterator[str]:
    """The sources of the standard library's smaller modules."""
    yield from (text for text, _ in _modules(root) if LEAST_CHARS <= len(text) <= MOST_FILE_CHARS)


def topics() -> Iterator[str]:
    """What `help()` says about the language."""
    from pydoc_data.topics import topics as texts

    yield from (str(texts[name]) for name in sorted(texts))


def _modules(root: Path | None) -> Iterator[tuple[str, ast.Module]]:
    root = root or Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if not SKIPPED & set(path.relative_to(root).parts):
            text = path.read_text(encoding="utf-8", errors="replace")
            try:
                yield text, ast.parse(text)
            except SyntaxError:
                continue
