"""The fake model as a device runs it: each decode step followed by a guess at the next, whose writes come late.

They reach the pool just before the next launch, or when somebody waits for them: as on a real stream, whose end the
host does not see. Whatever they could spoil in between, they do.
"""

import torch

from common.engine.flight import Flight, split
from common.engine.limits import Limits
from common.engine.messages import Event, Reserved
from common.engine.plan import Sampled, StepPlan, StepResult
from tests.decode_worker.drive import Drive
from tests.engine.fake_model import FakeRunner, draw, kv


class AheadRunner(FakeRunner):
    """`guesses` are tokens by (key, start); `late` the writes under way."""

    def __init__(self, block_tokens: int) -> None:
        super().__init__(block_tokens)
        self.guesses: dict[tuple[int, int], int] = {}
        self.late: list[tuple[tuple[int, int], int]] = []
        self.num_ahead = 0

    def settle(self) -> None:
        self.slots.update(self.late)
        self.late = []

    def run(self, plan: StepPlan) -> StepResult:
        self.settle()
        guesses, self.guesses = self.guesses, {}
        places = {key: place for place, key in enumerate(guesses)}
        found = split(plan, Flight(torch.empty(0), tuple, places))
        if not found.covered:
            result = super().run(plan)
        else:
            self.num_ahead += 1
            self._check(plan)
            tokens = [Sampled(token) for token in guesses.values()]
            rest = super().run(found.rest)
            later = dict(zip(found.rest_rows, rest.sampled, strict=True))
            sampled = [
                later[number] if row.work not in found.covered else tokens[found.covered[row.work]]
                for number, row in enumerate(plan.rows)
            ]
            scores = dict(zip(found.rest_works, rest.scores, strict=True))
            by_work = tuple(scores.get(number, ()) for number in range(len(plan.works)))
            result = StepResult(tuple(sampled), 0.01, by_work, rest.checksums)
        self._guess(plan, result)
        return result

    def _guess(self, plan: StepPlan, result: StepResult) -> None:
        for row, sampled in zip(plan.rows, result.sampled, strict=True):
            work = plan.works[row.work]
            if row.work >= plan.num_decode or sum(other.work == row.work for other in plan.rows) > 1:
                continue
            place, offset = divmod(work.kv_len, self.block_tokens)
            if sampled is None or place >= len(work.blocks):
                continue
            chain = self.read(work.blocks, work.kv_len)
            value = kv(chain[-1], sampled.token_id, work.kv_len)
            self.late.append(((work.blocks[place], offset), value))
            self.guesses[work.key, work.start + 1] = draw([*chain, value], row.sampling, row.choice, row.index + 1)


class AheadDrive(Drive):
    """Tables reach one token ahead, and who reserves waits for what is under way, as the engine's loop does."""

    def __init__(self, limits: Limits, num_blocks: int, *, settles: bool = True) -> None:
        super().__init__(limits, num_blocks)
        self.runner: AheadRunner = AheadRunner(self.tables.block_tokens)
        self._settles = settles

    def take(self, events: tuple[Event, ...]) -> None:
        if self._settles and any(isinstance(event, Reserved) for event in events):
            self.runner.settle()
        super().take(events)
