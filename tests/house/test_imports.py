"""What must load without a tensor library, loads without one."""

import subprocess
import sys
from fnmatch import fnmatch

import pytest

from tests.house.rules import PURE
from tests.house.source import ROOT, product

PROBE = """
import importlib, sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name + " is behind the wall")
sys.meta_path.insert(0, Wall())
for module in {modules}:
    importlib.import_module(module)
"""


def load(modules: list[str], blocked: list[str]) -> str:
    """What a fresh interpreter says that imports these modules and cannot import those."""
    code = PROBE.format(blocked=blocked, modules=modules)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    return done.stderr


def modules_of(*patterns: str) -> list[str]:
    found = [source.module for source in product() if any(fnmatch(source.path, pattern) for pattern in patterns)]
    return [module for module in found if not module.endswith("__main__")]


@pytest.mark.parametrize("what", ["router/*", "baton/client*", "baton/__init__.py", "common/net/*", "common/text/*"])
def test_loads_without_torch(what: str) -> None:
    assert load(modules_of(what), ["torch", "triton"]) == ""


def test_what_decides_loads_without_torch_and_grpc() -> None:
    assert load(modules_of(*PURE), ["torch", "triton", "grpc", "asyncio"]) == ""


def test_the_wall_stands() -> None:
    assert "behind the wall" in load(["torch"], ["torch"])
