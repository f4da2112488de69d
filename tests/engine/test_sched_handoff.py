"""Both schedulers with a copy between them: lost legs are tried again, and every answer is the undisturbed one."""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from common.engine.limits import Limits
from common.types.attempt import Attempt, Choice
from common.types.sampling import SampledToken
from tests.decode_worker.drive import Drive as Decode
from tests.decode_worker.drive import Stay
from tests.engine.attempts import random_attempt
from tests.engine.fake_model import answer
from tests.prefill_worker.drive import Drive as Prefill
from tests.prefill_worker.drive import Lending

MAX_MODEL_TOKENS = 48


@dataclass
class Request:
    """What a router keeps: the current attempt, its two legs, and what was delivered."""

    attempt: Attempt
    lending: Lending
    stay: Stay
    delivered: dict[int, list[SampledToken]]
    finished: set[int] = field(default_factory=set)

    def collect(self) -> None:
        """Takes over what is new of the current attempt's rows."""
        for choice, rows in self.stay.got.items():
            have = self.delivered[choice]
            have += [token for token in rows if token.index >= len(have)]
            if have and have[-1].finish is not None:
                self.finished.add(choice)

    def continued(self) -> Attempt:
        """The next attempt: whatever was delivered is context now, as part of the prompt or as tails."""
        old, choices = self.attempt, []
        for choice in old.choices:
            if choice.index not in self.finished:
                tail = tuple(token.token_id for token in self.delivered[choice.index][old.next_index :])
                choices.append(Choice(choice.index, tail))
        if len(choices) == 1:
            token_ids = old.token_ids + choices[0].tail
            return replace(old, id=old.id.next(), token_ids=token_ids, choices=(Choice(choices[0].index),))
        return replace(old, id=old.id.next(), choices=tuple(choices))


class Pair:
    """A prefill and a decode worker, and the bytes between them."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.prefill = Prefill(Limits(12, 4, MAX_MODEL_TOKENS), num_blocks=24)
        self.decode = Decode(Limits(12, 8, MAX_MODEL_TOKENS), num_blocks=20)

    def begin(self, attempt: Attempt) -> tuple[Lending, Stay]:
        return self.prefill.submit(attempt), self.decode.enter(attempt, local=False)

    def copy(self, request: Request) -> None:
        """Lands what is sealed and reserved."""
        manifest, stay = request.lending.manifest, request.stay
        if manifest is None or stay.state != "reserved" or request.lending.gone:
            return
        for place, ref in enumerate(manifest.blocks):
            assert self.prefill.tables.pool.generation(ref.block) == ref.generation
            if place >= stay.num_cached:
                for offset in range(4):
                    slot = self.prefill.runner.slots.get((ref.block, offset), 0)
                    self.decode.runner.slots[stay.blocks[place], offset] = slot
                assert self.decode.runner.checksum(stay.blocks[place]) == ref.checksum
        self.prefill.drop(request.lending)
        self.decode.land(stay, manifest.first_tokens)

    def lose(self, request: Request) -> None:
        """A leg breaks: both ends let go, a stray copy is waited for, and the next attempt begins."""
        self.prefill.drop(request.lending)
        if request.stay.state == "reserved" and self.random.random() < 0.5:
            self.decode.quarantine(request.stay)
            self.decode.step()
        self.decode.drop(request.stay)
        request.collect()
        if len(request.finished) < len(request.delivered):
            request.attempt = request.continued()
            request.lending, request.stay = self.begin(request.attempt)


@pytest.mark.parametrize("seed", range(30))
def test_answers_are_whole_whatever_is_lost(seed: int) -> None:
    pair = Pair(seed)
    requests: list[Request] = []
    for number in range(8):
        drawn = random_attempt(pair.random, 2 * number)
        first = replace(
            drawn, num_prompt_tokens=len(drawn.token_ids), choices=tuple(map(Choice, range(len(drawn.choices))))
        )
        requests.append(Request(first, *pair.begin(first), delivered={choice.index: [] for choice in first.choices}))
    asked = [request.attempt for request in requests]
    for turn in range(400):
        pair.prefill.step()
        pair.decode.step()
        for request in requests:
            request.collect()
            if turn < 80 and pair.random.random() < 0.02:
                pair.lose(request)
            elif pair.random.random() < 0.5:
                pair.copy(request)
    for attempt, request in zip(asked, requests, strict=True):
        for choice, rows in request.delivered.items():
            assert rows == answer(attempt, choice, MAX_MODEL_TOKENS)
        if not request.lending.gone:
            pair.prefill.drop(request.lending)
    pair.prefill.empty()
    pair.decode.empty()
