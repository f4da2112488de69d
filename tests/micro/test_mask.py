"""What constraints cost, stretch by stretch, against the steps of the free batch beside them."""

import pytest

from loadtest.micro import mask
from loadtest.micro.mask import Costs, _shares


def test_a_share_is_of_the_free_step_in_the_same_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask, "NUM_STEPS", 6)
    monkeypatch.setattr(mask, "NUM_PARTS", 2)
    free = Costs([1.0, 1.0, 9.0, 2.0, 2.0, 2.0], [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    bound = Costs([1.5, 1.5, 1.5, 2.1, 2.1, 9.0], [2.0, 2.0, 2.0, 3.0, 3.0, 3.0])
    assert _shares((free, bound), "own") == pytest.approx((50.0, 5.0))
    assert _shares((free, bound), "all") == pytest.approx((100.0, 50.0))
