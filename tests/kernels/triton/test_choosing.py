"""The device's sampler with its Triton kernels in the interpreter: what it chooses is what the host chooses."""

from random import Random

import pytest
import torch

from common.engine.device_sampler import DeviceSampler
from common.engine.masks import Masks
from common.engine.sampler import Sampler
from common.kernels.choosing import REFERENCE, choosing, triton_choosing
from common.kernels.logits import Logits
from tests.constrained import WIDTH, compiler
from tests.engine.fake_stage import FakeStage
from tests.engine.test_device_sampler import KINDS, bound_rows, close, some_row
from tests.engine.test_sampler import VOCABULARY, logits_of


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_every_kind(seed: int) -> None:
    rows = [
        some_row(kind, place, seed) for place, kind in enumerate(Random(seed).sample(range(len(KINDS)), len(KINDS)))
    ]
    logits = logits_of(len(rows), seed)
    found = DeviceSampler(FakeStage(), kernels=triton_choosing()).choose(logits, rows).read()
    close(found, Sampler().choose(Logits.of(logits), range(len(rows)), rows))


def test_a_token_ahead() -> None:
    rows = [some_row(kind, kind, 5) for kind in range(len(KINDS))]
    last = [row.tokens[-1] if place % 2 else (7 * place) % VOCABULARY for place, row in enumerate(rows)]
    logits = logits_of(len(rows), 5)
    sampler = DeviceSampler(FakeStage(), kernels=triton_choosing())
    found = sampler.choose(logits, rows, last=torch.tensor(last)).read()
    later = [
        row._replace(index=row.index + 1, tokens=(*row.tokens, token)) for row, token in zip(rows, last, strict=True)
    ]
    close(found, Sampler().choose(Logits.of(logits), range(len(later)), later))


def test_constrained_rows() -> None:
    rows = bound_rows()
    logits = torch.randn(len(rows), WIDTH, generator=torch.Generator().manual_seed(1)) * 3
    host, device = Sampler(Masks(compiler())), DeviceSampler(FakeStage(), Masks(compiler()), triton_choosing())
    host.begin(rows)
    device.begin(rows)
    close(device.choose(logits, rows).read(), host.choose(Logits.of(logits), range(len(rows)), rows))


def test_warming_up_launches_them() -> None:
    DeviceSampler(FakeStage(), kernels=triton_choosing()).warm_up(300)


def test_a_processor_gets_the_references() -> None:
    assert choosing(torch.device("cpu")) is REFERENCE
