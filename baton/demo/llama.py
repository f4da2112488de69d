"""The demo model while it is trained: a Llama in a page of torch, with the names of Hugging Face's weights.

Owns the forward pass and the first weights. Serving never sees this file: it reads what `export.py` wrote.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Shape:
    """How large the model is."""

    vocab: int = 4096
    hidden: int = 256
    feed_forward: int = 704
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    rope_theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads


class Layer(nn.Module):
    """Attention and the gated feed-forward, each behind its norm. [batch, tokens, hidden] in and out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, kv_width = shape.hidden, shape.kv_heads * shape.head_dim
        self.input_layernorm = nn.RMSNorm(width, eps=shape.eps)
        self.post_attention_layernorm = nn.RMSNorm(width, eps=shape.eps)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, kv_width, bias=False)
        self.v_proj = nn.Linear(width, kv_width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.gate_proj = nn.Linear(width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self._attend(self.input_layernorm(x), cos, sin)
        y = self.post_attention_layernorm(x)
        fed: Tensor = self.down_proj(F.silu(self.gate_proj(y)) * self.up_proj(y))
        return x + fed

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        split = (batch, tokens, -1, self.shape.head_dim)
        q = rotate(self.q_proj(x).view(split).transpose(1, 2), cos, sin)
        k = rotate(self.k_proj(x).view(split).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(split).transpose(1, 2)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        joined: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, tokens, -1))
        return joined


class DemoLlama(nn.Module):
    """Token ids [batch, tokens] to the mean loss against the next ones."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                into_stream = "o_proj" in name or "down_proj" in name
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if into_stream else 0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        cos, sin = angles(self.shape, ids.shape[1])
        for layer in self.layers:
            x = layer(x, cos, sin)
        logits = F.linear(self.norm(x), self.embed_tokens.weight)
        return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def angles(shape: Shape, tokens: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [tokens, head_dim], halves repeated."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    turns = torch.outer(torch.arange(tokens, dtype=torch.float32), shape.rope_theta**-steps)
    turns = torch.cat((turns, turns), -1)
    return turns.cos(), turns.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos.to(x.dtype) + torch.cat((-right, left), -1) * sin.to(x.dtype)
