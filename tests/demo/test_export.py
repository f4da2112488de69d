"""The model's folder, setting by setting; names of weights; who may speak; and the schedule it was trained with."""

import json
from pathlib import Path

import pytest
import torch
from jinja2 import Environment
from transformers import LlamaConfig

from baton.demo import MODEL
from baton.demo.export import CHAT_TEMPLATE, CONTEXT, _home, config, weights
from baton.demo.llama import DemoLlama, Shape
from baton.demo.pairs import MARKS
from baton.demo.train import FLOOR, STEPS, WARM_UP, _rate, _sorted_out

SMALL = Shape(vocab=50, hidden=32, feed_forward=48, layers=2, heads=4, kv_heads=2)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("embed_tokens.weight", "embed_tokens.weight"),
        ("norm.weight", "norm.weight"),
        ("layers.0.input_layernorm.weight", "layers.0.input_layernorm.weight"),
        ("layers.11.q_proj.weight", "layers.11.self_attn.q_proj.weight"),
        ("layers.0.o_proj.weight", "layers.0.self_attn.o_proj.weight"),
        ("layers.3.gate_proj.weight", "layers.3.mlp.gate_proj.weight"),
        ("layers.3.up_proj.weight", "layers.3.mlp.up_proj.weight"),
        ("layers.3.down_proj.weight", "layers.3.mlp.down_proj.weight"),
    ],
)
def test_a_weight_has_the_name_that_transformers_gives_it(name: str, home: str) -> None:
    assert _home(name) == home


def test_all_weights_are_there_in_bfloat16_and_none_twice() -> None:
    model = DemoLlama(SMALL)
    made = weights(model)
    assert len(made) == len(model.state_dict())
    assert all(name.startswith("model.") for name in made)
    assert all(weight.dtype == torch.bfloat16 and weight.is_contiguous() for weight in made.values())
    assert sum(weight.numel() for weight in made.values()) == sum(w.numel() for w in model.parameters())


def test_the_configuration_is_one_of_a_llama() -> None:
    made = config(SMALL, 7)
    read = LlamaConfig(**made)
    assert (read.hidden_size, read.num_key_value_heads, read.head_dim, read.vocab_size) == (32, 2, 8, 50)
    assert (read.eos_token_id, read.pad_token_id, read.bos_token_id) == (7, 7, None)
    assert read.tie_word_embeddings
    assert read.max_position_embeddings == CONTEXT
    assert json.loads(json.dumps(made)) == made


def test_the_model_that_ships_is_what_would_be_written() -> None:
    shipped = json.loads((MODEL / "config.json").read_text())
    assert shipped == config(Shape(), shipped["eos_token_id"])
    told = json.loads((MODEL / "tokenizer_config.json").read_text())
    assert told["chat_template"] == CHAT_TEMPLATE
    assert told["additional_special_tokens"] == list(MARKS.values())


def render(messages: list[dict[str, str]], *, prompted: bool = False) -> str:
    def refuse(text: str) -> None:
        raise ValueError(text)

    template = Environment().from_string(CHAT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=prompted, raise_exception=refuse)


@pytest.mark.parametrize("role", MARKS)
def test_the_roles_it_learned_may_speak(role: str) -> None:
    assert render([{"role": role, "content": "x"}]) == f"<|{role}|>x<|end|>"


@pytest.mark.parametrize("role", ["tool", "developer", "", "User"])
def test_others_are_refused_with_a_sentence(role: str) -> None:
    with pytest.raises(ValueError, match="knows the roles system, user and assistant"):
        render([{"role": role, "content": "x"}])


def test_no_messages_are_an_empty_text_or_the_beginning_of_an_answer() -> None:
    assert render([]) == ""
    assert render([], prompted=True) == "<|assistant|>"


@pytest.mark.parametrize("steps", [WARM_UP + 1, 100, STEPS])
def test_the_rate_rises_and_falls_and_never_ends(steps: int) -> None:
    rates = [_rate(step, steps) for step in range(steps + 5)]
    assert rates[0] == pytest.approx(1 / WARM_UP)
    assert rates[WARM_UP - 1] == max(rates) == 1.0
    assert rates[:WARM_UP] == sorted(rates[:WARM_UP])
    assert rates[WARM_UP:] == sorted(rates[WARM_UP:], reverse=True)
    assert rates[steps:] == pytest.approx([FLOOR] * 5)


def test_a_schedule_shorter_than_its_warm_up_is_still_one() -> None:
    assert 0 < _rate(3, 10) < _rate(9, 10) <= 1


def test_matrices_of_layers_are_apart_from_all_else() -> None:
    model = DemoLlama(SMALL)
    matrices, others = _sorted_out(model)
    assert len(matrices) == 7 * SMALL.layers
    assert len(matrices) + len(others) == len(list(model.parameters()))
    assert all(weight.ndim == 2 for weight in matrices)
    assert any(weight.shape == (SMALL.vocab, SMALL.hidden) for weight in others), "the embedding"


def test_the_curve_that_ships_falls(tmp_path: Path) -> None:
    head, *rows = (MODEL / "loss.csv").read_text().splitlines()
    place = head.split(",").index("loss")
    losses = [float(row.split(",")[place]) for row in rows]
    steps = [int(row.split(",")[0]) for row in rows]
    assert steps == sorted(set(steps))
    assert losses[-1] < losses[0] / 3
