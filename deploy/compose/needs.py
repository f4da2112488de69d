"""Prints what an extra of pyproject.toml needs, a line each, without Baton itself: so that a change of code does not
install all of it again. Torch is left out: an image chooses its own.
"""

import re
import sys
import tomllib
from pathlib import Path


def needs(project: dict[str, dict[str, list[str]]], base: list[str], extra: str) -> list[str]:
    """The base's and the extra's requirements; an extra may name others of the same project."""
    found = list(base)
    for line in project["optional-dependencies"][extra]:
        other = re.fullmatch(r"baton\[(\w+)\]", line)
        found += needs(project, [], other[1]) if other else [line]
    return [line for line in dict.fromkeys(found) if not line.startswith("torch")]


if __name__ == "__main__":
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    sys.stdout.write("\n".join(needs(project, project["dependencies"], sys.argv[1])) + "\n")
