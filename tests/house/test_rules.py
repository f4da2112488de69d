"""Every file of the project keeps the rules, and every rule catches an offender."""

from collections.abc import Callable, Iterator

import pytest

from tests.house import rules
from tests.house.source import Source, everything, product

Rule = Callable[[Source], Iterator[str]]

EVERYWHERE: tuple[Rule, ...] = (rules.floors, rules.placement, rules.bans, rules.names, rules.typed, rules.unfinished)
IN_PRODUCT: tuple[Rule, ...] = (rules.purity, rules.asserts, rules.documented, rules.one_word)

OFFENDERS = [
    (rules.floors, "common/types/x.py", "from common.net import channel"),
    (rules.floors, "router/x.py", "import prefill_worker.main"),
    (rules.floors, "common/cache/x.py", "from common.kernels.batch import Batch"),
    (rules.floors, "baton/cli/x.py", "def f() -> None:\n    import loadtest.micro"),
    (rules.floors, "router/x.py", "from . import main"),
    (rules.purity, "decode_worker/scheduler.py", "import time"),
    (rules.purity, "router/policy/x.py", "from torch import nn"),
    (rules.placement, "common/engine/x.py", "import triton.language as tl"),
    (rules.placement, "common/engine/x.py", "from baton.v1 import types_pb2"),
    (rules.placement, "router/main.py", "import os\nx = os.environ.get('A')"),
    (rules.bans, "router/x.py", "import pickle"),
    (rules.bans, "router/x.py", "import torch\ntorch.load('x')"),
    (rules.bans, "router/x.py", "x = eval('1')"),
    (rules.bans, "router/x.py", "import time\ntime.sleep(1)"),
    (rules.bans, "router/x.py", "try:\n    x = 1\nexcept:\n    raise"),
    (rules.bans, "router/x.py", "try:\n    x = 1\nexcept Exception:\n    pass"),
    (rules.bans, "router/x.py", "def f() -> None:\n    raise NotImplementedError"),
    (rules.unfinished, "router/x.py", "x = 1  # TO" + "DO later"),
    (rules.asserts, "router/x.py", "def f(x: int) -> None:\n    if x:\n        assert x > 0"),
    (rules.names, "router/x.py", "class PoolManager: pass"),
    (rules.one_word, "router/x.py", "def f(page_size: int) -> None: ..."),
    (rules.one_word, "router/x.py", "class NodeList: pass"),
    (rules.names, "router/x.py", "class A:\n    n_blocks = 1"),
    (rules.names, "router/utils.py", "x = 1"),
    (rules.typed, "router/x.py", "def f(x) -> None: ..."),
    (rules.typed, "router/x.py", "async def f(x: int): ..."),
    (rules.documented, "router/x.py", "x = 1"),
]


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_everything_keeps(rule: Rule) -> None:
    assert [offence for source in everything() if source.text for offence in rule(source)] == []


@pytest.mark.parametrize("rule", IN_PRODUCT, ids=lambda rule: rule.__name__)
def test_product_keeps(rule: Rule) -> None:
    assert [offence for source in product() for offence in rule(source)] == []


@pytest.mark.parametrize(("rule", "path", "text"), OFFENDERS)
def test_rule_catches(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source.of(path, text)))


@pytest.mark.parametrize("rule", EVERYWHERE + IN_PRODUCT, ids=lambda rule: rule.__name__)
def test_rule_accepts_plain_code(rule: Rule) -> None:
    text = '"""Owns x."""\nfrom common.types.ids import Role\n\ndef check(x: int, *rest: int) -> Role:\n    assert x\n'
    assert list(rule(Source.of("router/policy/x.py", text))) == []
