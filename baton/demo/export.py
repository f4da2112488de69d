"""Writes the trained weights as a model folder in Hugging Face's layout: bfloat16, tied embeddings, a chat template."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from baton.demo.llama import DemoLlama, Shape
from baton.demo.pairs import END, MARKS
from baton.demo.tokens import mark_id

CONTEXT = 2048
"""What the model is told to hold. It learned from rows of 512 tokens and gets vague beyond."""
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] not in ('system', 'user', 'assistant') %}"
    "{{ raise_exception('The demo model knows the roles system, user and assistant') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_model(folder: Path, model: DemoLlama, tokenizer: Tokenizer) -> None:
    """Everything that a server needs; an older copy is replaced file by file."""
    folder.mkdir(parents=True, exist_ok=True)
    end = mark_id(tokenizer, END)
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder / "config.json", config(model.shape, end))
    _write(
        folder / "generation_config.json", {"eos_token_id": end, "do_sample": True, "temperature": 0.7, "top_p": 0.9}
    )
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "additional_special_tokens": list(MARKS.values()),
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    _write(folder / "tokenizer_config.json", settings)
    save_file(weights(model), folder / "model.safetensors", metadata={"format": "pt"})


def weights(model: DemoLlama) -> dict[str, torch.Tensor]:
    """Named as transformers names them."""
    state = model.state_dict().items()
    return {f"model.{_home(name)}": weight.to(torch.bfloat16).contiguous() for name, weight in state}


def _home(name: str) -> str:
    """layers.0.q_proj.weight belongs to layers.0.self_attn, a gate to its mlp."""
    before, _, last = name.removesuffix(".weight").rpartition(".")
    if not last.endswith("_proj"):
        return name
    return f"{before}.{'mlp' if last.startswith(('gate', 'up', 'down')) else 'self_attn'}.{last}.weight"


def config(shape: Shape, end: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": shape.eps,
        "rope_theta": shape.rope_theta,
        "max_position_embeddings": CONTEXT,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": end,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
