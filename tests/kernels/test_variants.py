"""What changes from step to step makes no other machine code: whatever a step is like, nothing is compiled for it.

Noted in a process of its own: this one may have chosen Triton's interpreter, which specialises nothing.
"""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTE = """
import json, torch
from common.kernels import adjust_logits, logprobs
from common.kernels.aot import record
from common.kernels.paged_attention import find_reach, paged_attention
from common.kernels.reference.adjust_logits import SeenTokens
from common.kernels.small_linear import SmallLinear
from dataclasses import replace
from loadtest.gpu.compile import KERNELS
from loadtest.gpu.launches import MODELS, _batch, _empty, _floats, _ids, _layer

model = MODELS["llama-135m"]

def attend(q_lens, num_decode, width):
    batch, cache = _batch(q_lens, 2048, num_decode), _layer(model, torch.bfloat16)
    batch = replace(batch, block_tables=_ids(len(q_lens), width))
    query = _empty(sum(q_lens), model.heads, model.head_dim)
    paged_attention(query, cache, find_reach(batch, cache, None), 0.1)

def adjust(count):
    logits, places, values = _floats(8, 5000), _ids(count), _floats(count)
    adjust_logits.add_bias(logits, places, places, values)
    adjust_logits.penalise(logits, SeenTokens(places, places, *(values for _ in range(4))))
    adjust_logits.exclude(logits, places, places)

def multiply(rows):
    for columns in (576, 3072, 1536):
        SmallLinear(torch.device("meta"))(_empty(rows, 576), _empty(columns, 576))

steps = {
    "decode_attention_kernel": [lambda n=n: attend((1,) * n, n, 40 + n) for n in (1, 9, 16, 17)],
    "work_list_kernel": [lambda n=n: attend((1,) * n, n, 40) for n in (9, 10, 16)],
    "chunk_attention_kernel": [lambda n=n: attend((40,), 0, n) for n in (1, 16, 129)],
    "small_linear_kernel": [lambda n=n: multiply(n) for n in (1, 2, 15, 16)],
    "add_bias_kernel": [lambda n=n: adjust(n) for n in (1, 16, 999)],
    "penalise_kernel": [lambda n=n: adjust(n) for n in (1, 16, 999)],
    "exclude_kernel": [lambda n=n: adjust(n) for n in (1, 16, 999)],
    "tile_bests_kernel": [lambda n=n: logprobs.logprobs(_floats(3, 5000), _ids(3), n) for n in (1, 16, 19)],
}
found = {}
for name, launches in steps.items():
    notes = [note for launch in launches for note in record(launch, (9, 0), KERNELS) if note.name == name]
    found[name] = len({f"{note.signature} {note.constants} {note.aligned} {note.options}" for note in notes})
print(json.dumps(found))
"""

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")


def test_one_variant_serves_steps_of_any_size() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NOTE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found == dict.fromkeys(found, 1)
