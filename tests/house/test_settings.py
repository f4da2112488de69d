"""No setting without effect: every option of a configuration is read by the product."""

import re

import pytest

from common.types.config import CONFIGS
from common.types.options import options
from tests.house.source import product

DECLARED_IN = ("common/types/config.py", "common/types/timeouts.py")


@pytest.mark.parametrize("cls", CONFIGS)
def test_every_setting_is_read(cls: type) -> None:
    text = "\n".join(source.text for source in product() if source.path not in DECLARED_IN)
    unread = [option.name for option in options(cls) if not re.search(rf"\.{option.name}\b", text)]
    assert unread == []
