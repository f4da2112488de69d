"""Training in the small: it learns, it goes on where it was, and what it writes is what transformers computes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, LlamaForCausalLM

from baton.demo.export import write_model
from baton.demo.lessons import Lessons
from baton.demo.llama import DemoLlama, Shape
from baton.demo.ship import MOST_BYTES, ship
from baton.demo.tokens import Stories, train_tokenizer
from baton.demo.train import Trainer

SHAPE = Shape(vocab=300, hidden=64, feed_forward=96, layers=2, heads=4, kv_heads=2)


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    tokenizer = train_tokenizer(["Once upon a time there was a runner."], SHAPE.vocab)
    rows = dict.fromkeys(("docs", "strings", "code", "stories", "talks"), Stories(tokenizer, 1).row)
    return Lessons(tokenizer, rows, rows)


def trainer(lessons: Lessons, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setattr(torch, "compile", lambda model: model)
    return Trainer(SHAPE, lessons, 6)


def test_it_learns_and_goes_on_where_it_was(lessons: Lessons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainer(lessons, monkeypatch)
    losses = [whole.learn() for _ in range(2)]
    whole.save(tmp_path / "checkpoint.safetensors")
    losses += [whole.learn() for _ in range(2)]
    assert losses[-1] < losses[0]

    resumed = trainer(lessons, monkeypatch)
    resumed.load(tmp_path / "checkpoint.safetensors")
    assert resumed.step == 2
    assert [resumed.learn() for _ in range(2)] == losses[2:]
    assert set(whole.look()) == {"docs", "strings", "code", "stories", "talks"}


def test_what_is_written_computes_the_same_in_transformers(lessons: Lessons, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = DemoLlama(SHAPE)
    write_model(tmp_path, model, lessons.tokenizer)
    known = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(torch.bfloat16).float()
        assert name.rpartition(".")[0].split(".")[-1] in str(known)
    ids = torch.randint(0, SHAPE.vocab, (1, 24))
    with torch.no_grad():
        ours, theirs = model(ids[:, :-1], ids[:, 1:]), known(ids, labels=ids).loss
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|user|>Hi<|end|><|assistant|>"


def test_what_is_shipped_is_small_and_has_its_curve(lessons: Lessons, tmp_path: Path) -> None:
    write_model(tmp_path / "model", DemoLlama(SHAPE), lessons.tokenizer)
    (tmp_path / "loss.csv").write_text("step,tokens,seconds,loss\n20,1,1,7.5\n40,2,2,5.0\n")
    ship(tmp_path, tmp_path / "shipped")
    assert (tmp_path / "shipped" / "loss.svg").read_text().startswith("<svg")
    assert load_file(tmp_path / "shipped" / "model.safetensors")["model.norm.weight"].dtype == torch.bfloat16
    with open(tmp_path / "model" / "model.safetensors", "r+b") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ValueError, match="most a repository should hold"):
        ship(tmp_path, tmp_path / "shipped")
