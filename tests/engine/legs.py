"""A prefill and a decode engine with real schedulers, runner and memory, driven by hand: no threads, no network.

KV crosses by copying bytes from one pool to the other, with every checksum compared, as a fetch would.
"""

import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from common.cache.checksum import block_checksum
from common.cache.storage import KVStorage
from common.engine.limits import Limits
from common.engine.loop import Scheduler
from common.engine.messages import (
    BlocksReady,
    Command,
    Drop,
    Event,
    FirstTokens,
    Join,
    Joined,
    PromptScores,
    Refused,
    Reserve,
    Reserved,
    Sealed,
    Started,
    StepTokens,
    Submit,
    SubmitLocal,
)
from common.engine.plan import StepPlan
from common.engine.runner import Runner
from common.engine.tables import BlockTables
from common.models.decoder import Decoder
from common.types.attempt import Attempt
from common.types.ids import AttemptId
from common.types.kv import BlockRef, Manifest
from common.types.sampling import SampledToken, TokenLogprobs
from decode_worker.scheduler import DecodeScheduler
from prefill_worker.scheduler import PrefillScheduler
from tests.tiny import tiny_model

KEY = b"k" * 32


@functools.cache
def decoder(name: str) -> Decoder:
    return Decoder.load(tiny_model(name), "float32")


class Leg:
    """One engine: commands go in, steps are taken one at a time."""

    def __init__(
        self, name: str, prefill: bool, num_blocks: int, block_tokens: int, token_budget: int, max_sequences: int
    ) -> None:
        model = decoder(name)
        self.storage = KVStorage(model.layout(block_tokens, "tiny"), num_blocks)
        self.storage.tensor.fill_(float("nan"))  # whoever reads what was never written shows it
        self.tables = BlockTables.create(num_blocks, block_tokens, KEY, "tiny")
        self.early: list[Event] = []
        self.runner = Runner(model, self.storage, on_sums=self._summed)
        limits = Limits(token_budget, max_sequences, model.config.max_tokens)
        self.scheduler: Scheduler = DecodeScheduler(limits, self.tables)
        if prefill:
            self.scheduler = PrefillScheduler(limits, self.tables, self.storage.layout.fingerprint)
        self.now = 0.0
        self.num_steps = 0

    def accept(self, command: Command) -> tuple[Event, ...]:
        return self.scheduler.accept(command, self.now)

    def step(self) -> tuple[Event, ...] | None:
        """None when there is nothing to do."""
        self.now += 1
        plan = self.scheduler.plan(self.now)
        if plan is None:
            return None
        self.num_steps += 1
        result = self.runner.run(plan)
        events = (*plan.events, *self.early, *self.scheduler.commit(plan, result, self.now))
        self.early.clear()
        self.tables.pool.check()
        return events

    def _summed(self, plan: StepPlan, checksums: tuple[int, ...]) -> None:
        if isinstance(self.scheduler, PrefillScheduler):
            self.early += self.scheduler.summed(plan, checksums)

    def check_empty(self) -> None:
        """Every block came back."""
        counts = self.tables.pool.counts()
        assert counts.num_free + counts.num_cached == counts.num_blocks

    @property
    def bytes(self) -> np.ndarray:
        assert self.storage.bytes is not None
        return self.storage.bytes


@dataclass
class Answer:
    """What a client would have by now."""

    first_tokens: dict[int, SampledToken] = field(default_factory=dict)
    choices: dict[int, list[SampledToken]] = field(default_factory=lambda: defaultdict(list))
    prompt_scores: list[TokenLogprobs] = field(default_factory=list)
    num_cached_tokens: int = 0
    num_cached_blocks: int = 0
    refused: Refused | None = None

    def tokens(self, choice: int = 0) -> list[int]:
        return [token.token_id for token in self.choices[choice]]


class Pair:
    """Both legs of one deployment; `serve` sees attempts through. `max_sequences` 0 means what the budget feeds."""

    def __init__(
        self,
        name: str = "llama",
        block_tokens: int = 16,
        token_budget: int = 512,
        max_sequences: int = 0,
        prefill_blocks: int = 256,
        decode_blocks: int = 256,
    ) -> None:
        max_sequences = max_sequences or min(64, token_budget - 1)
        self.prefill = Leg(name, True, prefill_blocks, block_tokens, token_budget, max_sequences)
        self.decode = Leg(name, False, decode_blocks, block_tokens, token_budget, max_sequences)
        self.answers: dict[AttemptId, Answer] = {}
        self._refs: dict[AttemptId, list[BlockRef]] = {}
        self._sealed: dict[AttemptId, Manifest] = {}
        self._reserved: dict[AttemptId, Reserved] = {}

    def serve(self, *attempts: Attempt, local: Sequence[AttemptId] = ()) -> list[Answer]:
        """Hands every attempt off, or has decode compute it when `local` names it; returns when all have ended."""
        for attempt in attempts:
            self.answers[attempt.id] = Answer()
            if attempt.id in local:
                self._on_decode(self.decode.accept(SubmitLocal(attempt)))
            else:
                self._refs[attempt.id] = []
                self._on_prefill(self.prefill.accept(Submit(attempt, lend=True)))
                self._on_decode(self.decode.accept(Reserve(attempt)))
        busy = True
        while busy:
            busy = False
            for leg, react in ((self.prefill, self._on_prefill), (self.decode, self._on_decode)):
                if (events := leg.step()) is not None:
                    busy = True
                    react(events)
        self.prefill.check_empty()
        self.decode.check_empty()
        return [self.answers[attempt.id] for attempt in attempts]

    def _on_prefill(self, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case Started(id, num_cached_tokens):
                    self.answers[id].num_cached_tokens = num_cached_tokens
                case BlocksReady(id, first_block, refs):
                    assert first_block == len(self._refs[id])
                    self._refs[id] += refs
                case PromptScores(id, tokens):
                    self.answers[id].prompt_scores += tokens
                case FirstTokens(id, tokens):
                    self.answers[id].first_tokens = {token.choice: token for token in tokens}
                case Sealed(manifest):
                    assert manifest.blocks == tuple(self._refs[manifest.attempt])
                    self._sealed[manifest.attempt] = manifest
                    self._land(manifest.attempt)
                case Refused(id):
                    self.answers[id].refused = event
                    self._on_decode(self.decode.accept(Drop(id)))
                case _:
                    pass

    def _on_decode(self, events: tuple[Event, ...]) -> None:
        for event in events:
            match event:
                case Reserved(id):
                    self._reserved[id] = event
                    self._land(id)
                case Started(id, num_cached_tokens):
                    self.answers[id].num_cached_tokens = num_cached_tokens
                case PromptScores(id, tokens):
                    self.answers[id].prompt_scores += tokens
                case StepTokens(rows):
                    for id, token in rows:
                        self._deliver(self.answers[id], token)
                case Refused(id):
                    self.answers[id].refused = event
                case Joined() | _:
                    pass

    def _deliver(self, answer: Answer, token: SampledToken) -> None:
        rows = answer.choices[token.choice]
        assert not rows or rows[-1].index + 1 == token.index
        assert not rows or rows[-1].finish is None
        if not rows and answer.first_tokens:
            first = answer.first_tokens.get(token.choice, token)
            assert (first.token_id, first.index) == (token.token_id, token.index)
        rows.append(token)

    def _land(self, id: AttemptId) -> None:
        """Once sealed there and reserved here: copies, compares, ends the loan, joins."""
        if id not in self._sealed or id not in self._reserved:
            return
        manifest, reserved = self._sealed.pop(id), self._reserved.pop(id)
        self.answers[id].num_cached_blocks = reserved.num_cached_blocks
        assert len(manifest.blocks) == len(reserved.blocks)
        for ref, target in list(zip(manifest.blocks, reserved.blocks, strict=True))[reserved.num_cached_blocks :]:
            self.decode.bytes[target] = self.prefill.bytes[ref.block]
            assert block_checksum(self.decode.bytes[target]) == ref.checksum
        self._on_prefill(self.prefill.accept(Drop(id)))
        self._on_decode(self.decode.accept(Join(id, manifest.first_tokens)))
