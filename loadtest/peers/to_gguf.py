"""A model folder's weights as one file for llama.cpp, in bfloat16. Arguments: MODEL FILE.gguf.

For Llamas and Qwen3s. Runs in llama.cpp's environment, which needs gguf, safetensors and torch besides.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
SPECIAL, NORMAL = 3, 1


def main(folder: Path, out: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    family = config["model_type"]
    if family not in ("llama", "qwen3"):
        sys.exit(f"no way is known here to write a {family} for llama.cpp")
    unfinished = out.with_name(f"{out.name}.{os.getpid()}")
    gguf: Any = import_module("gguf")
    writer = gguf.GGUFWriter(unfinished, family)
    add_shape(writer, config)
    add_tokens(writer, config, json.loads((folder / "tokenizer.json").read_text()))
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    for shard in sorted(folder.glob("*.safetensors")):
        for name, weight in load_file(shard).items():
            turned = heads.get(name.rpartition("_proj")[0][-1:]) if family == "llama" else None
            add_weight(gguf, writer, its_name(name), neighbours(weight, turned) if turned else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(out)


def add_shape(writer: Any, config: dict[str, Any]) -> None:
    heads, rope = config["num_attention_heads"], config.get("rope_parameters") or config
    if config.get("rope_scaling") or rope.get("rope_type", "default") != "default":
        sys.exit("no way is known here to write scaled rotary positions for llama.cpp")
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def add_tokens(writer: Any, config: dict[str, Any], tokenizer: dict[str, Any]) -> None:
    """As many as the model has, named where the tokenizer names them."""
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    named = {place: text for text, place in {**tokenizer["model"]["vocab"], **special}.items()}
    places = range(config["vocab_size"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([named.get(place, f"<unnamed {place}>") for place in places])
    writer.add_token_types([SPECIAL if named.get(place) in special else NORMAL for place in places])
    writer.add_token_merges(merges or ["a b"])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def add_weight(gguf: Any, writer: Any, name: str, weight: torch.Tensor) -> None:
    """Vectors in float32, as llama.cpp wants them."""
    values = weight.float().numpy()
    if values.ndim == 1:
        writer.add_tensor(name, values)
    else:
        kind = gguf.GGMLQuantizationType.BF16
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def its_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem in WHOLE:
        return f"{WHOLE[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.weight"


def neighbours(weight: torch.Tensor, num_heads: int) -> torch.Tensor:
    """llama.cpp turns neighbouring entries of a Llama's heads, its folder has them half a head apart."""
    rows = weight.shape[0]
    return weight.reshape(num_heads, 2, rows // num_heads // 2, -1).transpose(1, 2).reshape(rows, -1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
