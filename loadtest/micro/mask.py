"""What constraints cost a decode step: masks worked out beside it, and put on the logits within it.

Steps of a free and of a constrained batch are taken in turns, by CPU time: of the engine's thread alone, which is what
a step is longer by where a core is free, and of all threads together, which is what the machine pays. The vocabulary is
learned from Python's own library, so that its tokens are as long and as many as a real one's.
"""

import statistics
import sysconfig
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from common.cache.storage import KVStorage
from common.engine.limits import Limits
from common.engine.masks import Masks
from common.engine.messages import SubmitLocal
from common.engine.runner import Runner
from common.engine.tables import BlockTables
from common.models.decoder import Decoder
from common.text.compiler import Compiler, Vocabulary
from common.text.special import SpecialTokens
from common.text.tokenizer import Tokenizer
from common.types.attempt import Attempt, Choice
from common.types.constraint import Constraint
from common.types.ids import AttemptId
from common.types.sampling import Sampling
from decode_worker.scheduler import DecodeScheduler
from loadtest.micro._rows import Measured
from loadtest.shapes import SHAPES, random_model

MODELS = Path(".baton/shapes")
BATCH, PROMPT_TOKENS, BLOCK_TOKENS = 32, 128, 16
MOST_PERCENT = 5.0
NUM_STEPS, NUM_FIRST, NUM_PARTS = 40, 5, 5
DRAWS = (("greedy", 0.0), ("at 1.0", 1.0))
MAX_CORPUS_BYTES = 4 << 20

ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["runner", "baton", "lane"]},
        "length_m": {"type": "number", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "kind", "length_m"],
}
CONSTRAINTS = {
    "json schema": Constraint.json_schema({"type": "array", "items": ITEM, "minItems": 500}),
    "any json": Constraint.json_schema({"type": "array", "minItems": 500}),
    "regex": Constraint.regex(r"(\w{1,12}[ ,.]){400}"),
    "any text": Constraint.regex(r"(?s:.{1000,60000})"),
}


@dataclass
class Costs:
    """Seconds of each step: of the engine's thread, and of all threads."""

    own: list[float] = field(default_factory=list)
    all: list[float] = field(default_factory=list)


class Side:
    """A batch that decodes, all of it under the same constraints or all of it free."""

    def __init__(self, decoder: Decoder, masks: Masks, constraints: tuple[Constraint | None, ...], heat: float) -> None:
        num_blocks = BATCH * (PROMPT_TOKENS + NUM_STEPS + 64) // BLOCK_TOKENS + BATCH
        self._storage = KVStorage(decoder.layout(BLOCK_TOKENS, "bench"), num_blocks)
        self._runner = Runner(decoder, self._storage, masks)
        tables = BlockTables.create(num_blocks, BLOCK_TOKENS, b"k" * 32, "bench")
        self._scheduler = DecodeScheduler(Limits(BATCH * PROMPT_TOKENS, BATCH, 8192), tables)
        for row in range(BATCH):
            tokens = tuple((row * 7919 + 31 * place) % 4000 + 2 for place in range(PROMPT_TOKENS))
            constraint = constraints[row % len(constraints)]
            sampling = Sampling(seed=row, temperature=heat, max_tokens=4096, constraint=constraint)
            attempt = Attempt(AttemptId(f"r{row}", 1), tokens, PROMPT_TOKENS, (Choice(0),), sampling)
            self._scheduler.accept(SubmitLocal(attempt), 0.0)

    def step(self) -> int:
        """How many rows it decoded."""
        plan = self._scheduler.plan(0.0)
        if plan is None:
            raise RuntimeError("there is nothing to compute")
        self._scheduler.commit(plan, self._runner.run(plan), 0.0)
        return plan.num_decode

    def timed(self, costs: Costs) -> None:
        own, all_threads = time.thread_time(), time.process_time()
        if self.step() != BATCH:
            raise RuntimeError("an answer ended before the measurement did")
        costs.own.append(time.thread_time() - own)
        costs.all.append(time.process_time() - all_threads)


def run(shape: str = "135m") -> list[Measured]:
    """Prints a line per kind of constraint, greedy and drawn."""
    rows: list[Measured] = []
    torch.set_num_threads(1)
    decoder = Decoder.load(random_model(shape, MODELS), "bfloat16")
    compiler = Compiler(Vocabulary(learned_tokenizer(SHAPES[shape].vocab), SHAPES[shape].vocab, (1,)))
    masks = Masks(compiler)
    print(f"{shape} in bfloat16, B={BATCH}, vocabulary of {SHAPES[shape].vocab}; CPU time of a step, medians")
    print("  constraint      draw      free step   longer by (engine's thread)   dearer by (all threads)")
    kinds: dict[str, tuple[Constraint | None, ...]] = {name: (each,) for name, each in CONSTRAINTS.items()}
    kinds["all of them"] = tuple(CONSTRAINTS.values())
    for name, constraints in kinds.items():
        for draw, heat in DRAWS if name == "all of them" else DRAWS[:1]:
            free, bound = Side(decoder, masks, (None,), heat), Side(decoder, Masks(compiler), constraints, heat)
            costs = Costs(), Costs()
            for _ in range(NUM_FIRST):
                free.step(), bound.step()
            for _ in range(NUM_STEPS):
                free.timed(costs[0])
                bound.timed(costs[1])
            step = statistics.median(costs[0].own)
            own = statistics.median(costs[1].own) - step
            every = statistics.median(costs[1].all) - statistics.median(costs[0].all)
            line = f"  {name:<16}{draw:<8}{step * 1e3:8.2f} ms"
            print(f"{line}  {own * 1e3:8.2f} ms {own / step:6.1%}         {every * 1e3:8.2f} ms {every / step:6.1%}")
            for title, part in (("engine's thread", "own"), ("all threads", "all")):
                what = f"masks: {name}, {draw}, B={BATCH}, {title}, of a step"
                rows.append(Measured("", what, _shares(costs, part), "%", MOST_PERCENT, most=True))
    return rows


def _shares(costs: tuple[Costs, Costs], part: str) -> tuple[float, ...]:
    """By how many percent the bound steps are dearer, stretch by stretch."""
    found = []
    for first in range(0, NUM_STEPS, NUM_STEPS // NUM_PARTS):
        stretch = slice(first, first + NUM_STEPS // NUM_PARTS)
        step = statistics.median(costs[0].own[stretch])
        free, bound = (statistics.median(getattr(side, part)[stretch]) for side in costs)
        found.append(100 * (bound - free) / step)
    return tuple(found)


def learned_tokenizer(vocabulary: int) -> Tokenizer:
    """Learned once and kept."""
    path = MODELS / f"tokenizer-{vocabulary}.json"
    if not path.is_file():
        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<|begin|>", "<|end|>"],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        files, num_bytes = [], 0
        for file in islice(sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")), 400):
            num_bytes += file.stat().st_size
            if num_bytes < MAX_CORPUS_BYTES:
                files.append(str(file))
        backend.train(files, trainer)
        MODELS.mkdir(parents=True, exist_ok=True)
        backend.save(str(path))
    return Tokenizer(Backend.from_file(str(path)), SpecialTokens({}, (), ()))
