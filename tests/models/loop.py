"""The smallest engine that can drive a decoder: continuous batching over shuffled blocks of a poisoned pool."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from common.kernels.batch import Batch, Span
from common.models.decoder import Decoder


def poisoned_pool(decoder: Decoder, num_blocks: int, block_tokens: int) -> torch.Tensor:
    """A pool of NaN: whatever is read before it was written shows."""
    layout = decoder.layout(block_tokens, "test")
    dtype = torch.float8_e4m3fn if layout.dtype == "fp8" else getattr(torch, layout.dtype)
    return torch.full((num_blocks, *layout.block_shape), torch.nan).to(dtype)


@dataclass
class Run:
    """One sequence under way; `computed` tokens have their KV in `blocks`."""

    tokens: list[int]
    begins: int
    blocks: list[int]
    computed: int = 0
    logits: list[torch.Tensor] = field(default_factory=list)

    def span(self, chunk: int) -> Span:
        return Span(self.tokens[self.computed : self.computed + chunk], self.computed, self.blocks)


def greedy(
    decoder: Decoder, prompts: Sequence[Sequence[int]], n: int, block_tokens: int, chunk: int, stagger: int = 0
) -> list[list[int]]:
    """`n` tokens for each prompt, all prompts in one batch; prompt i enters at step `i * stagger`."""
    counts = [-(-(len(prompt) + n) // block_tokens) for prompt in prompts]
    free = list(range(sum(counts)))
    random.Random(0).shuffle(free)
    pool = poisoned_pool(decoder, len(free), block_tokens)
    runs = [
        Run(list(prompt), index * stagger, [free.pop() for _ in range(count)])
        for index, (prompt, count) in enumerate(zip(prompts, counts, strict=True))
    ]
    ends = [len(prompt) + n for prompt in prompts]
    step = 0
    while any(len(run.tokens) < end for run, end in zip(runs, ends, strict=True)):
        active = [run for run, end in zip(runs, ends, strict=True) if run.begins <= step and len(run.tokens) < end]
        step += 1
        if not active:
            continue
        active.sort(key=lambda run: len(run.tokens) - run.computed > 1)
        batch = Batch.pack([run.span(chunk) for run in active], block_tokens)
        chosen = decoder.logits(decoder.forward(batch, pool)[batch.last_rows]).argmax(-1).tolist()
        for run, length, token in zip(active, batch.q_lens, chosen, strict=True):
            run.computed += length
            if run.computed == len(run.tokens):
                run.tokens.append(token)
    return [run.tokens[len(prompt) :] for run, prompt in zip(runs, prompts, strict=True)]


def all_logits(decoder: Decoder, tokens: Sequence[int], block_tokens: int, chunks: Sequence[int]) -> torch.Tensor:
    """`[len(tokens), vocab_size]`, computed in chunks of the given sizes, the last one repeated."""
    num_blocks = -(-len(tokens) // block_tokens)
    blocks = random.Random(0).sample(range(num_blocks), num_blocks)
    pool = poisoned_pool(decoder, num_blocks, block_tokens)
    sizes, rows, start = list(chunks), [], 0
    while start < len(tokens):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        span = Span(tokens[start : start + size], start, blocks)
        rows.append(decoder.logits(decoder.forward(Batch.pack([span], block_tokens), pool)))
        start += len(span.token_ids)
    return torch.cat(rows)


def random_prompts(vocab_size: int, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    source = random.Random(seed)
    return [[source.randrange(vocab_size) for _ in range(length)] for length in lengths]
