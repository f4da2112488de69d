"""A tiny random Llama with a tokenizer of its own, for trying things out without a download. It speaks gibberish.

Owns the recipe: the same seed gives the same model. The weights are random but for one trick: the first dimension of
the residual stream is a constant, so that the head's first column works as a bias, which holds each token's frequency
in TEXT. The words come out as common as they are there, in an order that means nothing.
"""

import json
import math
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

SEED = 7
VOCAB, HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 512, 64, 192, 4, 4, 2, 16, 4096
CONSTANT = 8.0
END, USER, ASSISTANT = "<|end|>", "<|user|>", "<|assistant|>"
TOKENS_PER_ANSWER = 60
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|assistant|>' if message['role'] == 'assistant' else '<|user|>' }}{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXT = """Once upon a time there was a runner who carried a small wooden baton across the hills. She was not the fastest
of them, and she was not the strongest, but she knew the way, and she never let it fall. Every morning the first runner
came up from the valley with the whole story in her hands. She read it quickly, from the first word to the last, and
then she gave it away. The second runner waited at the top of the hill. He was slow and patient, and he said one word at
a time, and each word was a little different from the one before. Between them lay the river, and over the river there
was a bridge, and nobody could say who had built it. If the bridge was closed they waited. If the rain came they began
again, with the same story, and the same words, so that the people in the town would never know that anything had been
lost. When the sun went down the two of them sat by the fire and were quiet. Tomorrow there would be another story, and
another, and it would be carried all the way, from hand to hand, until it was told."""


def make_demo(folder: Path) -> bool:
    """Writes the model unless it is there; whether it was made. Half a model is never left behind."""
    if (folder / "config.json").is_file():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="demo-") as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        ids = _write_tokenizer(made)
        _write_weights(made, _frequencies(ids))
        (made / "config.json").write_text(json.dumps(_config(), indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
    return True


def _config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": CONTEXT,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": 0,
    }


def _write_tokenizer(folder: Path) -> list[int]:
    """A byte-level BPE learned from TEXT; returns TEXT in its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=[END, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    text = " ".join(TEXT.split())
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": END, "chat_template": CHAT_TEMPLATE, "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    return list(tokenizer.encode(text).ids)


def _frequencies(ids: list[int]) -> list[float]:
    """The log frequency of every token, the end's included; what TEXT does not have is all but impossible."""
    counts = Counter(ids)
    logs = [math.log(counts[token] / len(ids)) if counts[token] else -20.0 for token in range(VOCAB)]
    logs[0] = math.log(1 / TOKENS_PER_ANSWER)
    return logs


def _write_weights(folder: Path, bias: list[float]) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    random = np.random.default_rng(SEED)

    def matrix(rows: int, columns: int, gain: float = 1.0) -> np.ndarray[Any, np.dtype[np.float32]]:
        return (random.standard_normal((rows, columns)) * gain / math.sqrt(columns)).astype(np.float32)

    def into_stream(columns: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Writes to the residual stream, but not to its constant."""
        weights = matrix(HIDDEN, columns, 0.7)
        weights[0] = 0
        return weights

    embedding = random.standard_normal((VOCAB, HIDDEN)).astype(np.float32)
    embedding[:, 0] = CONSTANT
    head = matrix(VOCAB, HIDDEN, 2.0)
    head[:, 0] = np.array(bias, dtype=np.float32) / (CONSTANT / math.sqrt(1.5 + CONSTANT**2 / HIDDEN))
    ones = np.ones(HIDDEN, dtype=np.float32)
    tensors = {"model.embed_tokens.weight": embedding, "lm_head.weight": head, "model.norm.weight": ones}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = ones
        tensors[prefix + "post_attention_layernorm.weight"] = ones
        tensors[prefix + "self_attn.q_proj.weight"] = matrix(HEADS * HEAD_DIM, HIDDEN)
        tensors[prefix + "self_attn.k_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        tensors[prefix + "self_attn.v_proj.weight"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        tensors[prefix + "self_attn.o_proj.weight"] = into_stream(HEADS * HEAD_DIM)
        tensors[prefix + "mlp.gate_proj.weight"] = matrix(FEED_FORWARD, HIDDEN)
        tensors[prefix + "mlp.up_proj.weight"] = matrix(FEED_FORWARD, HIDDEN)
        tensors[prefix + "mlp.down_proj.weight"] = into_stream(FEED_FORWARD)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
