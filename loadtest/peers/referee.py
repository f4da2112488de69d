"""A load by somebody else's client, `vllm bench serve`, so that no figure hangs on our own. Needs OpenAI's dialect."""

import json
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from common.types.resolve import child_environment
from loadtest.peers.command import output
from loadtest.peers.journal import Sample
from loadtest.peers.loads import ANSWER, GOALS, PROMPT, Sizes
from loadtest.peers.server import Server

RATE = 2
LIMIT_S = 180.0
CASE = f"goodput at {RATE}/s by vllm bench serve"
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def referee(vllm: Path, model: Path) -> Callable[[Server, str, int, Sizes], AsyncIterator[Sample]]:
    """The measure, with the client and the tokenizer it uses."""

    tokenizer = str(model.absolute())

    async def by_referee(server: Server, side: str, turn: int, sizes: Sizes) -> AsyncIterator[Sample]:
        with tempfile.TemporaryDirectory() as folder:
            argv = (
                *(str(vllm), "bench", "serve", "--backend", "openai", "--base-url", server.target),
                *("--model", server.model_id, "--tokenizer", tokenizer, "--dataset-name", "random"),
                *("--random-input-len", str(PROMPT), "--random-output-len", str(ANSWER), "--ignore-eos"),
                *("--request-rate", str(RATE), "--num-prompts", str(round(RATE * sizes.rate_s))),
                *("--goodput", *GOALS.split(","), "--seed", str(turn), "--temperature", "0", "--disable-tqdm"),
                *("--save-result", "--result-dir", folder, "--result-filename", "result.json"),
            )
            await output("vllm bench serve", argv, LIMIT_S, child_environment([], OFFLINE))
            found = json.loads((Path(folder) / "result.json").read_text())
        metrics = [(CASE, "request_goodput", "requests/s")]
        metrics += [(f"{key} at {RATE}/s by vllm bench serve", key, "ms") for key in ("median_ttft_ms", "p99_itl_ms")]
        for case, key, unit in metrics:
            yield Sample(case, side, turn, float(found[key]), unit)

    return by_referee
