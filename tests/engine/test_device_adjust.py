"""What happens to logits on a device, entry by entry: the host's changes, also after a token that it does not know."""

from random import Random

import numpy as np
import pytest
import torch

from common.engine import device_adjust
from common.engine.adjust import Adjuster
from common.engine.plan import SampleRow
from common.kernels.choosing import REFERENCE
from common.types.sampling import Sampling
from tests.engine.fake_stage import FakeStage
from tests.engine.test_sampler import VOCABULARY, logits_of, row

KINDS = [
    Sampling(repetition_penalty=1.3),
    Sampling(repetition_penalty=0.6, presence_penalty=0.4),
    Sampling(presence_penalty=-1.5, frequency_penalty=0.25),
    Sampling(frequency_penalty=0.7, logit_bias=((3, 4.0), (3, 0.5), (VOCABULARY, 9.0))),
    Sampling(logit_bias=((5, -100.0), (-1, 3.0))),
    Sampling(min_tokens=4, stop_token_ids=(1, 2, 3, VOCABULARY + 1)),
    Sampling(min_tokens=5, stop_token_ids=(7,), repetition_penalty=1.1),
    Sampling(),
]


def some_rows(seed: int) -> list[SampleRow]:
    """Short vocabularies of tokens, so that many come again; three or four of each row's are its answer's."""
    random = Random(seed)
    rows = []
    for place, kind in enumerate(random.sample(KINDS, len(KINDS))):
        tokens = tuple(random.randrange(12) for _ in range(random.choice((8, 9))))
        rows.append(row(kind, tokens, 5, name=str(place)))
    return rows


def applied(logits: torch.Tensor, rows: list[SampleRow], last: list[int] | None = None) -> torch.Tensor:
    changed = logits.clone()
    changes = Adjuster().changes(rows, VOCABULARY, int(last is not None))
    told = None if last is None else torch.tensor(last)
    device_adjust.apply(REFERENCE, FakeStage(), changed, changes, told)
    return changed


def on_host(logits: torch.Tensor, rows: list[SampleRow]) -> torch.Tensor:
    changed = logits.clone()
    Adjuster().adjust(changed.numpy(), rows)
    return changed


@pytest.mark.parametrize("seed", range(10))
def test_every_entry_is_the_hosts(seed: int) -> None:
    rows, logits = some_rows(seed), logits_of(len(KINDS), seed)
    torch.testing.assert_close(applied(logits, rows), on_host(logits, rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_a_token_that_only_the_device_knows_counts_as_if_the_host_knew_it(seed: int) -> None:
    """Whether it was in the prompt, in the answer, in both, or nowhere."""
    rows, logits, random = some_rows(seed), logits_of(len(KINDS), seed), Random(seed)
    last = [random.randrange(16) for _ in rows]
    later = [
        one._replace(index=one.index + 1, tokens=(*one.tokens, token)) for one, token in zip(rows, last, strict=True)
    ]
    found = applied(logits, rows, last)
    torch.testing.assert_close(found, on_host(logits, later), rtol=0, atol=1e-6)
    assert not torch.equal(found, applied(logits, rows))


def test_a_least_number_of_tokens_ends_with_the_token_that_reaches_it() -> None:
    early = row(Sampling(min_tokens=4, stop_token_ids=(1, 2)), (9, 9, 8, 8, 8), 2)  # three so far: this is the fourth
    logits = torch.zeros(1, VOCABULARY)
    assert applied(logits, [early]).isneginf().nonzero()[:, 1].tolist() == [1, 2]
    assert not applied(logits, [early], [8]).isneginf().any()


def test_masks_close_their_own_rows_alone() -> None:
    logits = torch.zeros(3, 40)
    words = np.array([[~(1 << 5), 0xFF], [0, 1]], dtype=np.int64).astype(np.int32)
    device_adjust.close(REFERENCE, FakeStage(), logits, [2, 0], words)
    assert (~logits.isneginf()).nonzero()[:, 1].tolist() == [32, *range(40), *(set(range(40)) - {5})]
    stage = FakeStage()
    device_adjust.close(REFERENCE, stage, logits, [], np.zeros((0, 1), dtype=np.int32))
    assert stage.num_uploads == 0


def test_rows_that_ask_for_nothing_send_nothing() -> None:
    stage, logits = FakeStage(), logits_of(2)
    rows = [one._replace(sampling=Sampling()) for one in some_rows(0)[:2]]
    device_adjust.apply(REFERENCE, stage, logits, Adjuster().changes(rows, VOCABULARY))
    assert stage.num_uploads == 0
