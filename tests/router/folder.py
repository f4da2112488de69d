"""A model folder whose tokens are single characters, so that token ids can be read as text. Written without torch."""

import json
import struct
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 512
SPECIAL = ("<|bos|>", "<|eos|>")
CHAT_TEMPLATE = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}" + (
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def model_folder(folder: Path) -> Path:
    """Everything a router reads, and weights of the right form."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {text: place for place, text in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": SPECIAL[1], "bos_token": SPECIAL[0], "chat_template": CHAT_TEMPLATE})
    )
    (folder / "config.json").write_text(
        json.dumps(
            {
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "vocab_size": len(vocabulary) + len(SPECIAL),
                "hidden_size": 8,
                "intermediate_size": 8,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "max_position_embeddings": CONTEXT,
                "eos_token_id": len(vocabulary) + 1,
                "hidden_act": "silu",
            }
        )
    )
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return folder
