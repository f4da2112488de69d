"""vLLM's engine without its server, in its own environment: one JSON line per case. Arguments: MODEL.

Run by path with vLLM's own interpreter, so it imports nothing of this project.
"""

import json
import random
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

DECODES = ((1, 128, 64), (8, 128, 64), (32, 128, 64))
PREFILLS = (512, 2048)
NUM_ROUNDS = 3


def main(model: str) -> None:
    vllm: Any = import_module("vllm")
    vocab = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
    engine = vllm.LLM(model, dtype="bfloat16", max_model_len=4096, enable_prefix_caching=False,
                      disable_log_stats=True, max_num_batched_tokens=4096)  # fmt: skip

    def seconds(batch: int, prompt: int, tokens: int) -> float:
        prompts = [{"prompt_token_ids": [random.randrange(10, vocab) for _ in range(prompt)]} for _ in range(batch)]
        wanted = vllm.SamplingParams(max_tokens=tokens, min_tokens=tokens, temperature=0, ignore_eos=True)
        began = time.perf_counter()
        engine.generate(prompts, wanted, use_tqdm=False)
        return time.perf_counter() - began

    seconds(1, 128, 64)
    for batch, prompt, tokens in DECODES:
        seconds(batch, prompt, 1)
        first = median(seconds(batch, prompt, 1) for _ in range(NUM_ROUNDS))
        whole = median(seconds(batch, prompt, tokens) for _ in range(NUM_ROUNDS))
        tell(f"decode B={batch} engine", batch * (tokens - 1) / (whole - first))
    for prompt in PREFILLS:
        seconds(1, prompt, 1)
        tell(f"prefill {prompt} engine", prompt / median(seconds(1, prompt, 1) for _ in range(NUM_ROUNDS)))


def tell(case: str, tokens_per_s: float) -> None:
    sys.stdout.write(json.dumps({"case": case, "value": tokens_per_s}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
