"""lm-eval scores texts over /v1/completions as transformers scores them itself."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.served import Served
from tests.tiny import reference_logits, reference_tokenizer

completions: Any = pytest.importorskip("lm_eval.models.openai_completions")
requesting: Any = pytest.importorskip("lm_eval.api.instance")
pytestmark = pytest.mark.filterwarnings("default")
PAIRS = [
    ("A relay race is four runners", " and one baton."),
    ("Nobody wins alone:", " the time is taken of the baton"),
    ("The first runner", " starts"),
    ("Größe, Übergabe", ", façade 🙂"),
]


def scored(folder: Path, context: str, continuation: str) -> tuple[float, bool]:
    """Sum of log probabilities of the continuation's tokens, and whether each was the likeliest."""
    tokenizer = reference_tokenizer(folder)
    ids = tokenizer.encode(context + continuation)
    rows = reference_logits(folder, ids).log_softmax(-1)
    places = range(len(tokenizer.encode(context)), len(ids))
    total = sum(float(rows[place - 1, ids[place]]) for place in places)
    return total, all(int(rows[place - 1].argmax()) == ids[place] for place in places)


@pytest.mark.parametrize(("batch_size", "num_concurrent"), [(1, 2), (4, 1)])
def test_loglikelihood_is_transformers_own(fleet: Served, batch_size: int, num_concurrent: int) -> None:
    model = completions.LocalCompletionsAPI(
        model="tiny",
        base_url=f"{fleet.v1}/completions",
        tokenizer=str(fleet.folder),
        tokenizer_backend="huggingface",
        batch_size=batch_size,
        num_concurrent=num_concurrent,
        max_retries=1,
    )
    requests = [
        requesting.Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=place)
        for place, pair in enumerate(PAIRS)
    ]
    for (total, greedy), pair in zip(model.loglikelihood(requests), PAIRS, strict=True):
        expected, likeliest = scored(fleet.folder, *pair)
        assert total == pytest.approx(expected, rel=1e-4, abs=1e-3)
        assert greedy == likeliest
