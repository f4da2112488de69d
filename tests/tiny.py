"""Tiny random models in every supported shape, and what transformers says they generate.

`tiny_model(name)` writes a complete Hugging Face folder once per machine and version of this file: float32 weights, a
byte-level BPE tokenizer, a chat template. Weights are large enough that greedy choices are not near-ties.
"""

import functools
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTEXT = 4096

# Shapes are odd on purpose: head sizes that are no power of two, vocabularies that are a multiple of nothing.
_LLAMA = {"hidden_size": 64, "intermediate_size": 112, "num_attention_heads": 4, "num_key_value_heads": 4}
_SMALL = {"hidden_size": 60, "intermediate_size": 92, "num_attention_heads": 3, "num_key_value_heads": 1}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**_LLAMA, "vocab_size": 509}),
    "llama-3to1": ("Llama", {**_SMALL, "head_dim": 20, "vocab_size": 1031, "tie_word_embeddings": True}),
    "llama-rope3": (
        "Llama",
        {**_LLAMA, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 24, "rope_parameters": _LLAMA3},
    ),
    "llama-yarn": ("Llama", {**_LLAMA, "num_key_value_heads": 2, "rope_parameters": _YARN, "vocab_size": 509}),
    "llama-linear": ("Llama", {**_LLAMA, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    "llama-dynamic": (
        "Llama",
        {**_SMALL, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "llama-biased": ("Llama", {**_SMALL, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**_LLAMA, "num_key_value_heads": 2, "sliding_window": None, "vocab_size": 509}),
    "mistral-window": (
        "Mistral",
        {**_LLAMA, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 40, "sliding_window": 12},
    ),
    "qwen2": ("Qwen2", {**_LLAMA, "num_key_value_heads": 2, "tie_word_embeddings": True, "vocab_size": 509}),
    "qwen2-window": (
        "Qwen2",
        {**_SMALL, "use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "qwen2-yarn": (
        "Qwen2",
        {**_LLAMA, "num_key_value_heads": 1, "rope_parameters": {**_YARN, "mscale": 1.0, "mscale_all_dim": 0.5}},
    ),
    "qwen3": ("Qwen3", {**_LLAMA, "num_key_value_heads": 2, "head_dim": 40, "tie_word_embeddings": True}),
    "qwen3-8to1": (
        "Qwen3",
        {**_LLAMA, "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 24, "attention_bias": True},
    ),
    "qwen3-window": (
        "Qwen3",
        {
            **_SMALL,
            "head_dim": 32,
            "use_sliding_window": True,
            "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
}
NAMES = tuple(SHAPES)

TEXT = """
A relay race is four runners and one baton. The first runner starts from the blocks, the second waits in the zone,
looks back once, and then trusts the hand that comes from behind. Nobody wins alone: the time is taken of the baton, not
of any runner. When it falls, the race is usually lost, however quick everyone was. So teams practise the exchange far
more often than the sprint: where to stand, when to begin, how to reach, which hand gives and which receives.

Large models answer in two parts. Reading the question keeps every multiplier busy and finishes at once; writing the
answer moves the whole memory for a single word, again and again. Put both on one machine and each disturbs the other;
keep them apart and something valuable must be carried between: keys and values, thirty layers deep, verified.

In 1912, 4 x 100 metres took 42.4 seconds; in 2012 it was 36.84. def exchange(giver, taker): return taker.run(giver)
{"name": "zone", "length_m": 30, "lanes": [1, 2, 3, 4, 5, 6, 7, 8], "legal": true, "note": null}
Größe, Übergabe, façade, naïve, señor, Żółw, Привет мир, 你好世界, こんにちは, مرحبا, 🙂🏃‍♀️.
"""

_CHAT = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPECIAL = ("<|bos|>", "<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
_QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@functools.cache
def _cache_folder() -> Path:
    """Of what the models are written by and with."""
    makers = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "transformers", "tokenizers")]
    version = hashlib.sha256(Path(__file__).read_bytes() + " ".join(makers).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"baton-tiny-{os.getuid()}-{version}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@functools.cache
def tiny_model(name: str) -> Path:
    """The folder of the model of that name, made on first use."""
    folder = _cache_folder() / name
    if not folder.exists():
        scratch = Path(tempfile.mkdtemp(dir=_cache_folder()))
        _write_model(name, scratch)
        try:
            scratch.rename(folder)
        except OSError:  # another process was first; its folder holds the same
            shutil.rmtree(scratch)
    return folder


def _write_model(name: str, folder: Path) -> None:
    import torch

    family, shape = SHAPES[name]
    shape = {"vocab_size": 701, "num_hidden_layers": 3, "max_position_embeddings": CONTEXT, **shape}
    transformers = _transformers()
    config = getattr(transformers, f"{family}Config")(**shape, bos_token_id=0, eos_token_id=1, pad_token_id=None)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    generator = torch.Generator().manual_seed(NAMES.index(name))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" in key:
                # tied embeddings are small, so the last norm makes up for it
                spread = 3.0 if key == "model.norm.weight" and config.tie_word_embeddings else 1.0
                parameter.uniform_(0.5 * spread, 1.5 * spread, generator=generator)
            else:
                # the head spreads the logits; embeddings are small beside what the layers add, lest tokens repeat
                parameter.normal_(
                    0.0, {"lm_head": 0.3, "model.embed_tokens": 0.1}.get(key[:-7], 0.2), generator=generator
                )
    model.save_pretrained(folder)
    _write_tokenizer(folder, shape["vocab_size"], qwen="qwen" in name)


def _write_tokenizer(folder: Path, vocab_size: int, qwen: bool) -> None:
    tokenizers: Any = importlib.import_module("tokenizers")
    split = tokenizers.pre_tokenizers
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    if qwen:
        pieces = split.Split(tokenizers.Regex(_QWEN_PIECES), behavior="isolated", invert=False)
        bpe.normalizer = tokenizers.normalizers.NFC()
        bpe.pre_tokenizer = split.Sequence([pieces, split.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        bpe.pre_tokenizer = split.ByteLevel(add_prefix_space=False)
        bpe.post_processor = tokenizers.processors.TemplateProcessing(
            single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]
        )
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIAL),
        initial_alphabet=split.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT.splitlines(), trainer)
    fast = _transformers().PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|bos|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = _CHAT
    fast.save_pretrained(folder)


@functools.cache
def _transformers() -> Any:
    """Imported late, for it takes seconds; and told to keep its progress bars to itself."""
    transformers: Any = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers


def reference_tokenizer(path: Path) -> Any:
    """The transformers tokenizer of a folder."""
    return _transformers().AutoTokenizer.from_pretrained(path)


@functools.lru_cache(maxsize=4)
def reference_model(path: Path) -> Any:
    """The transformers model of a folder, in float32."""
    import torch

    return _transformers().AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def reference_logits(path: Path, token_ids: Sequence[int]) -> Any:
    """`[len(token_ids), vocab_size]` float32: row i scores the token after token i."""
    import torch

    with torch.inference_mode():
        return reference_model(path)(torch.tensor([list(token_ids)])).logits[0]


def reference_greedy(path: Path, prompt_ids: Sequence[int], n: int) -> list[int]:
    """The `n` tokens transformers generates greedily in float32, stop tokens ignored."""
    import torch

    model = reference_model(path)
    tokens: list[int] = []
    step, cache = list(prompt_ids), None
    with torch.inference_mode():
        for _ in range(n):
            output = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            step = [int(output.logits[0, -1].argmax())]
            tokens += step
    return tokens
