"""Tiny tokenizer folders of the kinds that model folders hold, and transformers as the referee over them."""

import functools
import importlib
import json
from pathlib import Path
from typing import Any

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = [
    "hello world, this is a test of the tokenizer; hello again, world!",
    "  two  spaces\n\nand\tlines don't matter 12345 67",
    "naïve café 你好世界 こんにちは 😀😀 👩‍👩‍👧 Здравствуй",
] * 4
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KINDS = ("llama3", "qwen", "llama2", "llama2-legacy", "mistral", "unigram", "no-processor", "listed", "mapped")


def build(kind: str, folder: Path) -> Path:
    """Writes tokenizer.json and what stands beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    make = {"qwen": _qwen, "unigram": _unigram}.get(kind)
    if make is None:
        make = _sentencepiece if kind.startswith(("llama2", "mistral")) else _byte_level
    tokenizer, config, model = make()
    match kind:
        case "llama2-legacy":
            config["legacy"] = True
        case "mistral":
            config["tokenizer_class"], model["model_type"] = "LlamaTokenizerFast", "mistral"
        case "no-processor":
            tokenizer.post_processor = None
            config |= {"add_bos_token": True, "add_eos_token": True}
        case "listed":
            config["added_tokens_decoder"] = {
                "0": _listed("<|bos|>", special=True),
                "1": _listed("<|eos|>", special=True),
                str(tokenizer.get_vocab_size()): _listed("<tool>", special=False),
                str(tokenizer.get_vocab_size() + 1): _listed("<|extra|>", special=True),
            }
            config["additional_special_tokens"] = ["<|extra|>", "<|more|>"]
        case "mapped":
            named = {
                "bos_token": {"content": "<|bos|>", "lstrip": False},
                "eos_token": "<|eos|>",
                "pad_token": "<|pad|>",
            }
            (folder / "special_tokens_map.json").write_text(json.dumps(named))
            config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text(json.dumps(model))
    return folder


def _listed(content: str, special: bool) -> dict[str, Any]:
    flags = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": False}
    return {"content": content, "special": special, **flags}


Made = tuple[Any, dict[str, Any], dict[str, Any]]


def _byte_level() -> Made:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, ["<|bos|>", "<|eos|>", "<|im_start|>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", 0)]
    )
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    return tokenizer, config, {"model_type": "llama"}


def _qwen() -> Made:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    pieces = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    _train(tokenizer, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    config = {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<|im_end|>", "add_bos_token": False}
    return tokenizer, config, {"model_type": "qwen2"}


def _train(tokenizer: Any, special: list[str]) -> None:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(WORDS, trainer)


def _sentencepiece() -> Made:
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for character in "▁abcdefghijklmnopqrstuvwxyzABC,.;!'0123456789你好é":
        vocab.setdefault(character, len(vocab))
    merges = [("▁", "▁"), ("▁", "t"), ("▁t", "h"), ("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("▁", "hello")]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    model = models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return tokenizer, config, {"model_type": "llama"}


def _unigram() -> Made:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(WORDS, trainer)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    return tokenizer, config, {"model_type": "mistral"}


@functools.cache
def transformers() -> Any:
    """Imported late, for it takes seconds."""
    module: Any = importlib.import_module("transformers")
    module.utils.logging.set_verbosity_error()
    return module


@functools.cache
def referee(folder: Path) -> Any:
    """What transformers makes of the folder."""
    return transformers().AutoTokenizer.from_pretrained(folder)
