"""No setting without effect: every option of a configuration is read by the product."""

import re

from common.types.config import CONFIGS
from common.types.options import options
from tests.house.source import product

DECLARED_IN = ("common/types/config.py", "common/types/timeouts.py")


def test_every_setting_is_read() -> None:
    text = "\n".join(source.text for source in product() if source.path not in DECLARED_IN)
    names = {option.name for cls in CONFIGS for option in options(cls)}
    assert {name for name in names if not re.search(rf"\.{name}\b", text)} == set()
