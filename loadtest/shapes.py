"""Random models of a given shape, for measuring: what they say means nothing, what they cost is real.

Owns the shapes. The tokenizer has learned next to nothing; prompts for these models are token ids.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

SEED = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's proportions, or a Qwen3's: its heads have a size of their own, and norms for queries and keys."""

    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int = 8192
    head_size: int = 0

    @property
    def head_dim(self) -> int:
        return self.head_size or self.hidden // self.heads

    @property
    def family(self) -> str:
        return "qwen3" if self.head_size else "llama"


SHAPES = {
    "tiny": Shape(128, 384, 4, 4, 2, 4096),
    "135m": Shape(576, 1536, 30, 9, 3, 32768),
    "170m": Shape(640, 2432, 24, 8, 2, 32768, head_size=128),  # a quarter of Qwen3-4B's widths
    "350m": Shape(1024, 2816, 24, 16, 4, 32768),
    "1b": Shape(2048, 8192, 16, 32, 8, 32768),
}


def random_model(name: str, folder: Path, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A model folder; made once, and never left half made."""
    target = folder / f"{name}-{str(dtype).removeprefix('torch.')}"
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="shape-") as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        save_file(_weights(SHAPES[name], dtype), made / "model.safetensors", metadata={"format": "pt"})
        (made / "config.json").write_text(json.dumps(_config(SHAPES[name], dtype), indent=2))
        _write_tokenizer(made, SHAPES[name].vocab)
        shutil.move(made, target)
    return target


def _config(shape: Shape, dtype: torch.dtype) -> dict[str, object]:
    return {
        "architectures": [f"{shape.family.capitalize()}ForCausalLM"],
        "model_type": shape.family,
        "torch_dtype": str(dtype).removeprefix("torch."),
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": shape.context,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }


def _weights(shape: Shape, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(SEED)

    def matrix(rows: int, columns: int) -> torch.Tensor:
        return (torch.randn(rows, columns, generator=random) * 0.02).to(dtype)

    queries, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    tensors = {
        "model.embed_tokens.weight": matrix(shape.vocab, shape.hidden),
        "model.norm.weight": torch.ones(shape.hidden, dtype=dtype),
    }
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(shape.hidden, dtype=dtype)
        if shape.family == "qwen3":
            for norm in ("q_norm", "k_norm"):
                tensors[f"{prefix}self_attn.{norm}.weight"] = torch.ones(shape.head_dim, dtype=dtype)
        sizes = {"q": (queries, shape.hidden), "k": (kv, shape.hidden), "v": (kv, shape.hidden)}
        for projection, (rows, columns) in {**sizes, "o": (shape.hidden, queries)}.items():
            tensors[f"{prefix}self_attn.{projection}_proj.weight"] = matrix(rows, columns)
        tensors[prefix + "mlp.gate_proj.weight"] = matrix(shape.feed_forward, shape.hidden)
        tensors[prefix + "mlp.up_proj.weight"] = matrix(shape.feed_forward, shape.hidden)
        tensors[prefix + "mlp.down_proj.weight"] = matrix(shape.hidden, shape.feed_forward)
    return tensors


def _write_tokenizer(folder: Path, size: int) -> None:
    """Every id has a text, so that what a random model says is seen; those beyond the learned ones are never read."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["a model of a given shape says nothing that means anything"], trainer)
    written = json.loads(tokenizer.to_str())
    vocabulary = written["model"]["vocab"]
    vocabulary |= {f"Ġw{place}": place for place in range(len(vocabulary), size)}
    (folder / "tokenizer.json").write_text(json.dumps(written))
    settings = {"bos_token": special[0], "eos_token": special[1], "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
