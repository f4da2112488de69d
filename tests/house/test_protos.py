"""The wire is documented line by line, and the generated code is what the protos say."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from grpc_tools import protoc

from tests.house.source import GENERATED, ROOT

PROTOS = sorted((ROOT / "protos" / "baton" / "v1").glob("*.proto"))
DECLARATION = re.compile(r"^\s*(rpc|message|service|enum|oneof|(optional |repeated )?[\w.]+(<.*>)? \w+ = \d+)\b")
VERSIONS = re.compile(r"^.*(Protobuf Python Version|GRPC_GENERATED_VERSION =|^    \d+,$).*$", re.MULTILINE)


def undocumented(text: str) -> list[str]:
    """Declarations that do not follow a comment line."""
    lines = text.splitlines()
    pairs = zip(["", *lines], lines, strict=False)
    found = [line for before, line in pairs if DECLARATION.match(line) and not before.strip().startswith("//")]
    return [line for line in found if not line.startswith("syntax")]


@pytest.mark.parametrize("proto", PROTOS, ids=lambda proto: proto.name)
def test_every_line_is_documented(proto: Path) -> None:
    assert undocumented(proto.read_text()) == []


def test_undocumented_is_caught() -> None:
    text = "// A.\nmessage A {\n  // Fine.\n  uint32 x = 1;\n  map<uint32, float> y = 2;\n  optional string z = 3;\n}"
    assert len(undocumented(text)) == 2


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    out = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    well_known = files("grpc_tools") / "_proto"
    paths = [proto.as_posix() for proto in PROTOS]
    assert protoc.main(["protoc", f"-I{ROOT / 'protos'}", f"-I{well_known}", *out, *paths]) == 0
    made = {path.name: path.read_text() for path in (tmp_path / GENERATED).iterdir()}
    kept = {path.name: path.read_text() for path in (ROOT / GENERATED).glob("*_pb2*")}
    assert sorted(made) == sorted(kept)
    stale = [name for name in made if VERSIONS.sub("", made[name]) != VERSIONS.sub("", kept[name])]
    assert stale == [], "run `make proto`"
