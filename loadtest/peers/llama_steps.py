"""llama.cpp through its C interface, in its own environment: one JSON line per case. Arguments: MODEL.gguf THREADS.

Run by path with the interpreter that has llama-cpp-python, so it imports nothing of this project. Nothing is around the
engine here: no server, no sampling.
"""

import json
import random
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from statistics import median
from typing import Any

WARM_UP = (1, 128, 60)
DECODES = ((1, 128, 64), (8, 128, 48), (32, 128, 16))
PREFILLS = ((512, 3), (2048, 1))
Token = tuple[int, int, bool]
"""Position, sequence, and whether its logits are wanted."""


class Context:
    """A model with room for so many sequences."""

    def __init__(self, llama: Any, model: Any, batch: int, prompt: int, steps: int, threads: int) -> None:
        params = llama.llama_context_default_params()
        largest = max(prompt * batch, 512)
        wanted = {"n_ctx": batch * (prompt + steps + 16), "n_batch": largest, "n_ubatch": 512, "n_seq_max": batch}
        wanted |= {"n_threads": threads, "n_threads_batch": threads, "kv_unified": True}
        for name, value in wanted.items():
            setattr(params, name, value)
        self._llama, self._context = llama, llama.llama_init_from_model(model, params)
        self._batch = llama.llama_batch_init(largest, 0, batch)
        self._vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def seconds(self, tokens: Sequence[Token]) -> float:
        batch = self._batch
        setattr(batch, "n_tokens", len(tokens))  # noqa: B010 the C struct's own name, not one of ours
        for place, (position, sequence, wanted) in enumerate(tokens):
            batch.token[place], batch.pos[place] = random.randrange(10, self._vocab), position
            getattr(batch, "n_seq_id")[place] = 1  # noqa: B009 as above
            batch.seq_id[place][0], batch.logits[place] = sequence, wanted
        began = time.perf_counter()
        if self._llama.llama_decode(self._context, batch):
            raise RuntimeError("llama_decode failed")
        self._llama.llama_synchronize(self._context)
        return time.perf_counter() - began

    def clear(self) -> None:
        self._llama.llama_memory_clear(self._llama.llama_get_memory(self._context), True)

    def close(self) -> None:
        self._llama.llama_batch_free(self._batch)
        self._llama.llama_free(self._context)


def main(path: str, threads: int) -> None:
    llama: Any = import_module("llama_cpp")
    silent = llama.llama_log_callback(lambda *_: None)
    llama.llama_log_set(silent, None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())

    def decode(batch: int, prompt: int, steps: int) -> float:
        context = Context(llama, model, batch, prompt, steps, threads)
        context.seconds(whole(batch, prompt))
        times = [context.seconds([(prompt + step, s, True) for s in range(batch)]) for step in range(steps + 2)]
        context.close()
        return batch / median(times[2:])

    decode(*WARM_UP)
    for batch, prompt, steps in DECODES:
        tell(f"decode B={batch} engine", decode(batch, prompt, steps))
    for prompt, rounds in PREFILLS:
        context = Context(llama, model, 1, prompt, 1, threads)
        times = []
        for _ in range(rounds):
            times.append(context.seconds(whole(1, prompt)))
            context.clear()
        tell(f"prefill {prompt} engine", prompt / median(times))
        context.close()


def whole(batch: int, prompt: int) -> list[Token]:
    return [(place, sequence, place == prompt - 1) for sequence in range(batch) for place in range(prompt)]


def tell(case: str, tokens_per_s: float) -> None:
    sys.stdout.write(json.dumps({"case": case, "value": tokens_per_s}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
