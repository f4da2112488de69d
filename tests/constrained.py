"""A vocabulary of single bytes and what tests do with it: each token can be read, each mask written out by hand."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from common.engine.masks import Masks
from common.engine.plan import SampleRow
from common.text.compiler import Compiler, Vocabulary
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from tests.router.folder import model_folder

END = 257
"""The token that ends an answer; the bytes are 0 to 255, in the order of their letters."""
WIDTH = 258


@functools.cache
def tokenizer() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        return Tokenizer.load(model_folder(Path(folder) / "letters"))


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary(tokenizer(), WIDTH, (END,))


def compiler() -> Compiler:
    """One that has compiled nothing yet."""
    return Compiler(vocabulary())


def tokens_of(text: str) -> list[int]:
    return tokenizer().encode(text)


def row(
    constraint: Constraint | None,
    said: str = "",
    *,
    name: str = "a",
    choice: int = 0,
    number: int = 1,
    **sampling: object,
) -> SampleRow:
    """A row that has said this much since a prompt of two tokens."""
    wanted = Sampling(constraint=constraint, **{"stop_token_ids": (END,), "temperature": 0.0, **sampling})  # type: ignore[arg-type]
    tokens = [65, 66, *tokens_of(said)]
    return SampleRow(0, AttemptId(name, number), choice, len(tokens) - 2, wanted, tokens, 2)


def allowed(masks: Masks, *rows: SampleRow) -> list[str | None]:
    """What each constrained row may say next, `$` for the end, in order; None where it has failed."""
    masks.begin(rows)
    found = masks.collect()
    masks.make(found, sorted(found.left))
    texts: list[str | None] = []
    for words, failed in zip(found.words, found.failed, strict=True):
        ids = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        letters = "".join(sorted(tokenizer().decode([token]) for token in ids.tolist() if token != END))
        texts.append(None if failed else letters + "$" * (END in ids))
    return texts
