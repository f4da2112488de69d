"""What a hand-off leaves exposed: time between the end of prefill and joining the decode batch, over prefill time.

Two real workers on a core each, shared memory between them; every prompt is new, so nothing is cached.
"""

import asyncio
import random
import statistics
from pathlib import Path

from baton.client import Completion
from loadtest.fleet import running_fleet
from loadtest.micro._rows import Measured
from loadtest.shapes import SHAPES, random_model
from router.policy.route import Mode

NUM_PROMPTS = {512: 30, 2000: 12}
"""By length: as many as make a median that stays."""
MAX_TRIES = 3
MODELS = Path(".baton/shapes")


def run(shape: str = "135m") -> list[Measured]:
    """Prints a line per prompt length."""
    rows = []
    print(f"hand-off exposed after prefill, {shape} in bfloat16, shm; must 1 %, aim 0.3 %")
    for num_tokens, completions in asyncio.run(_measure(shape)).items():
        prefill = statistics.median(done.done.timings.prefill_ms for done in completions)
        exposed = statistics.median(done.done.timings.handoff_ms for done in completions)
        shares = sorted(done.done.timings.handoff_ms / done.done.timings.prefill_ms for done in completions)
        spread = f"{shares[0]:.2%} to {shares[-1]:.2%}"
        print(f"  {num_tokens:>5} tokens: prefill {prefill:7.1f} ms, exposed {exposed:5.2f} ms,", end=" ")
        print(f"share {statistics.median(shares):.2%} ({spread}) of {len(shares)}")
        what = f"hand-off left exposed after prefill / prefill, {num_tokens} tokens, {shape}"
        rows.append(Measured("C9", what, tuple(100 * share for share in shares), "%", 1, 0.3, most=True))
        times = tuple(done.done.timings.handoff_ms for done in completions)
        rows.append(Measured("", f"hand-off left exposed after prefill, {num_tokens} tokens, {shape}", times, "ms"))
    return rows


async def _measure(shape: str) -> dict[int, list[Completion]]:
    source = random.Random(1)
    vocab = SHAPES[shape].vocab
    results: dict[int, list[Completion]] = {}
    async with running_fleet(random_model(shape, MODELS), "--kv-memory=512MiB", MODE="handoff") as client:
        for num_tokens, num_prompts in NUM_PROMPTS.items():
            completions: list[Completion] = []
            for _ in range(MAX_TRIES * num_prompts):
                prompt = [source.randrange(2, vocab) for _ in range(num_tokens)]
                completion = await client.complete(prompt, temperature=0.0, max_tokens=4, ignore_eos=True, explain=True)
                if is_handed_off(completion):
                    completions.append(completion)
                if len(completions) > num_prompts:
                    break
            else:
                raise RuntimeError("too few prompts were handed off")
            results[num_tokens] = completions[1:]  # the first one connects the two workers
    return results


def is_handed_off(completion: Completion) -> bool:
    """A decode worker that is up first serves alone until there is a prefill worker."""
    return any((each.decision, each.chosen) == ("mode", Mode.HANDOFF.value) for each in completion.done.explanations)


if __name__ == "__main__":
    run()
