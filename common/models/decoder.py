"""The forward pass of the dense decoder: tokens of many sequences in, hidden rows out, KV written to the pool.

Owns weights and rope tables. Knows nothing of sequences, sampling, or who owns which block.
"""

from pathlib import Path

import torch
from torch.nn.functional import embedding

from common.kernels.batch import Batch
from common.kernels.logits import Logits, RowMasks
from common.kernels.native.stack import NativeStack, StackShape
from common.kernels.table import Kernels, kernels_for, native_library
from common.models.config import ModelConfig
from common.models.parameters import LayerParameters, Parameters
from common.models.rope import rope_tables
from common.models.weights import Progress, load_parameters
from common.types.kv import KVLayout

TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Decoder:
    """A loaded model, and the owner of its parameters. Nothing in it changes after loading; one thread runs it.

    KV is kept in the dtype it computes in, or in `kv_dtype`.
    """

    def __init__(
        self, config: ModelConfig, dtype: str, device: torch.device, parameters: Parameters, kv_dtype: str = "auto"
    ) -> None:
        self.config = config
        self.dtype = dtype
        self.kv_dtype = dtype if kv_dtype == "auto" else kv_dtype
        self.device = device
        self.weight_bytes = parameters.num_bytes
        self._parameters = parameters
        self._kernels: Kernels = kernels_for(device)
        self._cos, self._sin = rope_tables(config.rope, config.head_dim, config.max_tokens, device)
        self._scale = config.head_dim**-0.5
        self._native = self._pack()

    @classmethod
    def load(
        cls,
        folder: Path | str,
        dtype: str = "auto",
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
        kv_dtype: str = "auto",
    ) -> "Decoder":
        """Reads a Hugging Face folder; `progress` hears (bytes read, bytes in all)."""
        folder = Path(folder)
        config = ModelConfig.load(folder)
        name = config.resolve_dtype(dtype)
        device = torch.device(device)
        parameters = load_parameters(folder, config, TORCH_DTYPES[name], device, progress)
        return cls(config, name, device, parameters, kv_dtype)

    def layout(self, block_tokens: int, fingerprint: str) -> KVLayout:
        """How this model's KV lies in a pool."""
        return self.config.layout(block_tokens, fingerprint, self.dtype, self.kv_dtype)

    def forward(self, batch: Batch, kv: torch.Tensor) -> torch.Tensor:
        """The batch's wanted rows, `[R, hidden_size]`, normed; `kv` is the pool.

        A pool is `[blocks, layers, 2, kv_heads, block_tokens, head_dim]`.
        """
        if self._native is not None:
            return self._native.forward(batch, kv)
        return self._forward(batch, kv)

    @torch.inference_mode()
    def _forward(self, batch: Batch, kv: torch.Tensor) -> torch.Tensor:
        kernels, parameters, eps = self._kernels, self._parameters, self.config.norm_eps
        cos, sin = self._cos[batch.positions], self._sin[batch.positions]
        reach = {window: kernels.find_reach(batch, kv[:, 0], window) for window in set(self.config.windows)}
        residual = embedding(batch.token_ids, parameters.embedding)
        hidden = kernels.rms_norm(residual, parameters.layers[0].attention_norm, eps)
        next_norms = [layer.attention_norm for layer in parameters.layers[1:]] + [parameters.norm]
        for index, layer in enumerate(parameters.layers):
            cache = kv[:, index]
            qkv = kernels.linear(hidden, layer.qkv, layer.qkv_bias)
            query = kernels.rope_write(qkv, cos, sin, cache, batch, layer.qk_norm, eps)
            attended = kernels.paged_attention(
                query, cache, reach[self.config.windows[index]], self._scale, self._keys_and_values(qkv)
            )
            hidden = kernels.linear(attended, layer.o, layer.o_bias)
            hidden = kernels.add_rms_norm(hidden, residual, layer.mlp_norm, eps)
            hidden = self._feed_forward(hidden, layer)
            hidden = kernels.add_rms_norm(hidden, residual, next_norms[index], eps)
        return hidden if batch.wanted is None else hidden[batch.wanted]

    def forward_ranked(self, batch: Batch, kv: torch.Tensor) -> Logits:
        """`forward` and `ranked` at once, for who needs nothing that lies between them."""
        if self._native is not None:
            return self._native.forward_ranked(batch, kv)
        return self.ranked(self._forward(batch, kv))

    def logits(self, hidden_rows: torch.Tensor) -> torch.Tensor:
        """`[R, hidden_size] -> [R, vocab_size]` float32, for rows of what `forward` returned."""
        if self._native is not None:
            return self._native.logits(hidden_rows).values
        with torch.inference_mode():
            return self._kernels.linear(hidden_rows, self._parameters.head, None).float()

    def ranked(self, hidden_rows: torch.Tensor, masks: RowMasks | None = None) -> Logits:
        """The same with the best of each row on the host, some rows under their masks; good until the next call."""
        if self._native is None:
            return Logits.of(self.logits(hidden_rows), masks)
        return self._native.ranked(hidden_rows, masks)

    def _pack(self) -> NativeStack | None:
        """All layers as one native op where there are native kernels; the parameters are emptied into it.

        They know no KV of another type than they compute in.
        """
        config, parameters = self.config, self._parameters
        shape = StackShape(
            config.num_heads, config.num_kv_heads, config.head_dim, config.norm_eps, tuple(config.windows)
        )
        library = native_library(self.device) if self.kv_dtype == self.dtype else None
        if library is None or not shape.supports(config.hidden_size, config.intermediate_size):
            return None
        rope = (self._cos, self._sin)
        return NativeStack(
            library, shape, parameters.layers, parameters.norm, parameters.embedding, parameters.head, rope
        )

    def _keys_and_values(self, qkv: torch.Tensor) -> torch.Tensor:
        """`[T, 2, kv_heads, head_dim]`: a view of what lies behind the queries."""
        config = self.config
        behind = qkv[:, config.num_heads * config.head_dim :]
        return behind.view(len(qkv), 2, config.num_kv_heads, config.head_dim)

    def _feed_forward(self, hidden: torch.Tensor, layer: LayerParameters) -> torch.Tensor:
        gated = self._kernels.silu_mul(self._kernels.linear(hidden, layer.gate_up, layer.gate_up_bias))
        return self._kernels.linear(gated, layer.down, layer.down_bias)
