"""The engines' scripts: ours on a tiny model, the peers' against stand-ins for their libraries."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadtest.peers import baton_steps, llama_steps, vllm_steps
from loadtest.shapes import random_model

CASES = [
    "decode B=1 engine",
    "decode B=8 engine",
    "decode B=32 engine",
    "prefill 512 engine",
    "prefill 2048 engine",
]


def told(out: str) -> dict[str, float]:
    return {found["case"]: found["value"] for found in map(json.loads, out.splitlines())}


def test_batons_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baton_steps, "NUM_STEPS", 4)
    monkeypatch.setattr(baton_steps, "NUM_PROMPTS", 2)
    baton_steps.main(str(random_model("tiny", tmp_path)), 1)
    found = told(capsys.readouterr().out)
    assert list(found) == [*CASES, "decode B=1 engine, at the end", "decode B=1 engine, one thread"]
    assert min(found.values()) > 0


class FakeVllm:
    """Takes a virtual second per prompt token and one per further token of an answer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ids: list[int] = []

    def LLM(self, model: str, **settings: Any) -> "FakeVllm":
        assert settings["dtype"] == "bfloat16"
        return self

    def SamplingParams(self, **wanted: Any) -> SimpleNamespace:
        return SimpleNamespace(**wanted)

    def generate(self, prompts: list[dict[str, list[int]]], wanted: SimpleNamespace, use_tqdm: bool) -> None:
        self.ids += [id for prompt in prompts for id in prompt["prompt_token_ids"]]
        self.now += sum(len(prompt["prompt_token_ids"]) for prompt in prompts) + wanted.max_tokens - 1


def test_vllms_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeVllm()
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.setattr(vllm_steps, "time", SimpleNamespace(perf_counter=lambda: fake.now))
    (tmp_path / "config.json").write_text('{"vocab_size": 77}')
    vllm_steps.main(str(tmp_path))
    assert told(capsys.readouterr().out) == dict(zip(CASES, [1.0, 8.0, 32.0, 1.0, 1.0], strict=True))
    assert max(fake.ids) < 77


class FakeLlama:
    """The C interface as far as it is used; a step takes a virtual second, a prompt as many as it has tokens."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_freed = 0
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return lambda *_: SimpleNamespace()

    def llama_vocab_n_tokens(self, vocab: object) -> int:
        return 77

    def llama_batch_init(self, num_tokens: int, embedding: int, num_sequences: int) -> SimpleNamespace:
        plain = ("token", "pos", "n_seq_id", "logits")
        held: dict[str, Any] = {name: [0] * num_tokens for name in plain}
        return SimpleNamespace(n_tokens=0, seq_id=[[0] for _ in range(num_tokens)], **held)

    def llama_decode(self, context: object, batch: Any) -> int:
        assert max(batch.token[: batch.n_tokens]) < 77
        self.now += batch.n_tokens if sum(batch.logits[: batch.n_tokens]) < batch.n_tokens else 1
        return int(self.fails)

    def llama_free(self, context: object) -> None:
        self.num_freed += 1


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> FakeLlama:
    fake = FakeLlama()
    monkeypatch.setitem(sys.modules, "llama_cpp", fake)
    monkeypatch.setattr(llama_steps, "time", SimpleNamespace(perf_counter=lambda: fake.now))
    return fake


def test_llamas_engine(llama: FakeLlama, capsys: pytest.CaptureFixture[str]) -> None:
    llama_steps.main("m.gguf", 2)
    assert told(capsys.readouterr().out) == dict(zip(CASES, [1.0, 8.0, 32.0, 1.0, 1.0], strict=True))
    assert llama.num_freed == 6


def test_a_step_that_fails_ends_the_script(llama: FakeLlama) -> None:
    llama.fails = True
    with pytest.raises(RuntimeError, match="llama_decode"):
        llama_steps.main("m.gguf", 2)
