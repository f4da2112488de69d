"""Constraints compiled for one model's tokens. Owns the compiler's limits, what was compiled lately, and the one way in
which a constraint is refused.

Safe to use from several threads; llguidance lets go of the GIL while it compiles. Knows nothing of batches.
"""

import json
import threading
import time
from functools import cached_property

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from common.text.grammar import grammar_of, refused
from common.text.reasons import reason_of
from common.text.shelf import Shelf
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint, ConstraintKind
from common.types.errors import InvalidRequest

COMPILE_S = 5.0
PROBE_S = 0.25
NUM_PROBES = 8
"""So many tokens are tried before a constraint is accepted: most that blow up do so on the first."""
MAX_COUNT, MAX_BYTES = 128, 64 << 20
BYTES_PER_CHAR, BYTES_EACH = 128, 128 << 10
"""What a compiled constraint holds, roughly: it grows with use, up to `max_lexer_states`."""
_PANICS = "pyo3_runtime"
"""Where a bug of the compiler comes from as an exception: it is the constraint's end, not the process's."""
LIMITS = LLParserLimits(
    initial_lexer_fuel=250_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_items_in_row=10_000,
    max_lexer_states=20_000,
    max_grammar_size=250_000,
    verbose_errors=False,
)


class Vocabulary:
    """The tokens of a model as llguidance sees them; `end_ids` are those that end an answer.

    Raises InvalidRequest where no answer could be constrained: it is the answer to every such request.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: tuple[int, ...]) -> None:
        self.end_ids = tuple(token for token in end_ids if 0 <= token < min(vocab_size, tokenizer.vocab_size))
        if not self.end_ids:
            raise refused("cannot be enforced: this model names no token that ends an answer")
        size = max(vocab_size, tokenizer.vocab_size)
        try:
            self.tokens = LLTokenizer(tokenizer.backend.to_str(), n_vocab=size, eos_token=list(self.end_ids))
        except ValueError:
            raise refused("cannot be enforced: this model's tokenizer is of a kind that is not understood") from None

    @property
    def num_words(self) -> int:
        """How many 32-bit words hold a bit for each token."""
        return -(-self.tokens.vocab_size // 32)

    @cached_property
    def ordinary(self) -> npt.NDArray[np.bool_]:
        """Which tokens stand for a text of their own, no other token's, that may begin any text."""
        plain = self.tokens.with_slices([])
        matcher = LLMatcher(plain, json.dumps({"grammars": [{"lark_grammar": r"start: /(?s:.*)/"}]}), log_level=0)
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little").astype(bool)
        bits[list(self.end_ids)] = False
        return bits


class Compiler:
    """Compiles each constraint once, for as long as it is remembered."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._shelf: Shelf[Constraint, LLMatcher] = Shelf(MAX_COUNT, MAX_BYTES)
        self._lock = threading.Lock()

    def warm_up(self) -> "Compiler":
        """Takes the tenths of a second that the first constraint of all would take longer; returns itself."""
        any_object = Constraint.json_object()
        self._probe(any_object, self.compile(any_object))
        return self

    def has(self, constraint: Constraint) -> bool:
        with self._lock:
            return self._shelf.get(constraint) is not None

    def begin(self, constraint: Constraint) -> LLMatcher:
        """A matcher at the start of an answer; raises InvalidRequest."""
        with self._lock:
            kept = self._shelf.get(constraint)
        if kept is None:
            kept = self.compile(constraint)
            # the first masks are many times dearer than later ones, and copies share what was learnt from them
            self._probe(constraint, kept.deep_copy())
            with self._lock:
                self._shelf.put(constraint, kept, BYTES_EACH + BYTES_PER_CHAR * len(constraint.source))
        return kept.deep_copy()

    def forget(self, constraint: Constraint) -> None:
        """After a failure: copies share what they have learnt, and it may be that which filled up."""
        with self._lock:
            self._shelf.remove(constraint)

    def compile(self, constraint: Constraint) -> LLMatcher:
        """Shares nothing with any other; raises InvalidRequest."""
        began = time.thread_time()
        grammar = grammar_of(constraint)
        try:
            matcher = LLMatcher(self.vocabulary.tokens, grammar, limits=LIMITS, log_level=0)
        except BaseException as panic:
            if type(panic).__module__ != _PANICS:
                raise
            raise refused("cannot be compiled") from None
        if matcher.is_error():
            raise _refusal(constraint, matcher.get_error())
        if matcher.get_grammar_warnings():
            raise refused("uses keywords that cannot be enforced")
        if time.thread_time() - began > COMPILE_S:
            raise refused("takes too long to compile")
        return matcher

    def check(self, constraint: Constraint) -> None:
        """Compiles it and tries the first tokens of an answer; raises InvalidRequest. Nothing of it is kept."""
        self._probe(constraint, self.compile(constraint))

    def _probe(self, constraint: Constraint, matcher: LLMatcher) -> None:
        for turn in range(NUM_PROBES):
            began = time.thread_time()
            mask = matcher.compute_bitmask()
            if matcher.is_error():
                raise _refusal(constraint, matcher.get_error())
            allowed = np.flatnonzero(np.unpackbits(np.frombuffer(mask, dtype=np.uint8), bitorder="little"))
            going_on = np.setdiff1d(allowed, self.vocabulary.end_ids)
            if not len(allowed):
                raise refused("can be met by no text")
            if not len(going_on):
                return
            if not matcher.consume_token(int(going_on[turn * 7919 % len(going_on)])):
                raise _refusal(constraint, matcher.get_error())
            if time.thread_time() - began > PROBE_S:
                raise refused("takes too long to enforce")


def _refusal(constraint: Constraint, message: str) -> InvalidRequest:
    rewritten = constraint.kind is not ConstraintKind.GRAMMAR or "::=" in constraint.source
    return refused(reason_of(message, own_lines=not rewritten))
