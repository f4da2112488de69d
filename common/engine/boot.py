"""Builds a worker's engine: weights, KV pool, scheduler, runner, thread, warm-up; each step is said aloud.

Owns the order and what it takes from the configuration. Knows nothing of networks or of which scheduler it is.
"""

import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter

import torch

from common.cache.storage import KVStorage
from common.engine.back_seat import BackSeat
from common.engine.device_ground import DeviceGround, cuda_ground
from common.engine.gate import Gate
from common.engine.limits import Limits
from common.engine.loop import EngineLoop, OnEvents, Scheduler
from common.engine.masks import Masks
from common.engine.placement import give_way, settle_thread
from common.engine.plan import StepPlan
from common.engine.runner import Runner
from common.engine.sizing import CPU_SHARE, choose_num_blocks, describe_pool
from common.engine.tables import BlockTables
from common.engine.voice import Voice
from common.engine.warm_up import warm_up
from common.kernels.table import native_library
from common.models.config import ModelConfig
from common.models.decoder import TORCH_DTYPES, Decoder
from common.models.fingerprint import model_fingerprint
from common.models.weight_files import read_weight_files
from common.models.weights import load_parameters
from common.obs.cores import parse_cores
from common.text.compiler import Compiler, Vocabulary
from common.text.tokenizer import Tokenizer
from common.types.config import WorkerConfig
from common.types.device import CPU, Device, parse_device
from common.types.errors import InvalidRequest, ModelError, StartupError
from common.types.kv import DTYPE_BYTES, KVLayout

_STORED_BYTES = {"F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine and what the network side needs of it."""

    model: ModelConfig
    fingerprint: str
    layout: KVLayout
    limits: Limits
    storage: KVStorage
    loop: EngineLoop
    gate: Gate
    seat: BackSeat

    def close(self) -> None:
        """Ends the thread after its step and gives the pool back. Transports must have let go of the pool before."""
        self.gate.close()
        self.loop.stop()
        self.storage.close()
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class Machine:
    """What the process may use: measured by whoever knows containers."""

    free_bytes: Callable[[], int]
    num_cores: int


def boot(
    config: WorkerConfig,
    make_scheduler: Callable[[Limits, BlockTables, KVLayout], Scheduler],
    on_events: OnEvents,
    on_crash: Callable[[BaseException], None],
    machine: Machine,
    voice: Voice,
    open_device: Callable[[Device, Voice], DeviceGround] = cuda_ground,
    *,
    decodes: bool = True,
) -> Engine:
    """Takes as long as loading does; raises StartupError with the fix. See `EngineLoop` for the two callbacks."""
    voice.phase("environment")
    where = parse_device(config.device) or Device(CPU)
    ground = open_device(where, voice) if where.is_cuda else None
    free = ground.meter.free if ground else machine.free_bytes
    folder = Path(config.model)
    model = ModelConfig.load(folder)
    limits = _limits(config, model)
    cores = parse_cores(config.cores)
    beside = parse_cores(config.loop_cores) or tuple(os.sched_getaffinity(0))
    dtype = model.resolve_dtype(config.dtype)
    fingerprint = model_fingerprint(folder)
    layout = model.layout(config.block_tokens, fingerprint, dtype, config.kv_dtype)
    _check_kv(layout, dtype, where)
    _check_weights_fit(folder, dtype, free())
    device = ground.driver.device if ground else torch.device(CPU)
    voice.phase("kernels")
    native_library(device)
    voice.phase("load")
    parameters = load_parameters(folder, model, TORCH_DTYPES[dtype], device, voice.progress)
    voice.phase("pack")
    decoder = Decoder(model, dtype, device, parameters, layout.dtype)
    if ground is None:
        limits = replace(limits, goes_further=decodes)
        share, room = CPU_SHARE, free() - _workspace_bytes(model, limits)
    else:
        voice.phase("measure")
        ground.decodes = decodes
        limits = replace(limits, num_ahead=int(decodes))
        use = ground.measure(decoder, layout, limits)
        voice.say(use.describe(config.device_share))
        share, room = 1.0, use.room(config.device_share)
    num_blocks = choose_num_blocks(layout, limits, config.num_blocks, config.kv_memory, room, share)
    limits = limits.within(num_blocks * layout.block_tokens)
    voice.say(describe_pool(layout, limits, num_blocks))
    storage = ground.make_storage(layout, num_blocks, room) if ground else KVStorage(layout, num_blocks, CPU, room)
    compiler = _load_compiler(folder, model, voice.say)
    num_mask_threads = _num_mask_threads(config.device, machine)
    masks = None if compiler is None else Masks(compiler, num_mask_threads, cores=beside)

    def on_sums(plan: StepPlan, checksums: tuple[int, ...]) -> None:
        loop.summed(plan, checksums)

    runner = ground or Runner(decoder, storage, masks, on_sums)
    tables = BlockTables.create(num_blocks, layout.block_tokens, config.cache_key.encode(), fingerprint)

    def prepare() -> None:
        others = seat.threads() - {threading.get_native_id()}
        settle_thread(cores, config.threads or len(cores) or machine.num_cores)
        if ground is not None:
            ground.open(decoder, storage, limits, masks)
        began = perf_counter()
        scheduler.learn(*warm_up(runner.run, limits, layout, num_blocks))
        seat.take(others)
        # what start-up made stays for good: without this, a full collection stops a step for tens of milliseconds
        gc.collect()
        gc.freeze()
        voice.say(f"warm-up: {(perf_counter() - began) * 1000:.0f} ms on {torch.get_num_threads()} threads")

    seat = BackSeat(config.nice)
    scheduler = make_scheduler(limits, tables, layout)
    settle = ground.settle if ground else (lambda: None)
    alone = bool(cores) and not {*cores} & {*beside}
    way = (lambda: None) if alone else give_way
    loop = EngineLoop(scheduler, runner.run, on_events, on_crash, prepare, settle=settle, give_way=way)
    voice.phase("probe")
    try:
        loop.start()
    except BaseException:
        storage.close()
        raise
    gate = Gate(loop.post, compiler, on_events, on_crash)
    return Engine(model, fingerprint, layout, limits, storage, loop, gate, seat)


def _load_compiler(folder: Path, model: ModelConfig, say: Callable[[str], None]) -> Compiler | None:
    """None where no answer can be constrained; such requests are refused, all others served."""
    try:
        tokenizer = Tokenizer.load(folder)
        end_ids = model.end_token_ids(tokenizer.eos_token_id)
        return Compiler(Vocabulary(tokenizer, model.vocab_size, end_ids)).warm_up()
    except (InvalidRequest, ModelError) as error:
        say(f"answers with a constraint will be refused: {error}")
        return None


def _num_mask_threads(device: str, machine: Machine) -> int:
    """On a CPU every core has the forward pass to compute; a device's steps are short, and cores are free."""
    return 1 if device == "cpu" else max(1, min(8, machine.num_cores // 2))


def _limits(config: WorkerConfig, model: ModelConfig) -> Limits:
    if config.max_model_tokens > model.max_tokens:
        raise StartupError(
            f"max_model_tokens is {config.max_model_tokens}, and the model was made for {model.max_tokens}",
            "Lower max_model_tokens, or leave it out",
        )
    return Limits(
        config.token_budget,
        config.max_sequences,
        config.max_model_tokens or model.max_tokens,
        tpot_goal_s=config.timeouts.tpot_goal_ms / 1000 or inf,
    )


def _check_kv(layout: KVLayout, dtype: str, where: Device) -> None:
    if not where.is_cuda and layout.dtype != dtype:
        raise StartupError(
            f"a CPU keeps KV in the type it computes in: kv_dtype is {layout.dtype}, and the model computes in {dtype}",
            "Leave kv_dtype out, or compute on a GPU",
        )
    if layout.block_bytes % 8:
        raise StartupError(
            f"a KV block of {layout.block_tokens} tokens takes {layout.block_bytes} bytes as {layout.dtype}, and "
            "blocks travel in words of 8",
            "Take block_tokens that are a multiple of 4",
        )


def _check_weights_fit(folder: Path, dtype: str, free_bytes: int) -> None:
    """Asked before anything is read: a process that takes too much is killed without a word."""
    stored = (tensor for file in read_weight_files(folder) for tensor in file.tensors)
    needed = sum(
        (tensor.end - tensor.start) * DTYPE_BYTES[dtype] // _STORED_BYTES.get(tensor.dtype, 4) for tensor in stored
    )
    if needed > free_bytes:
        raise StartupError(
            f"the weights take {needed / 2**30:.1f} GiB as {dtype}, and {max(free_bytes, 0) / 2**30:.1f} GiB are free",
            "Free some memory, take a smaller model or dtype, or give the machine or container more memory",
        )


def _workspace_bytes(model: ModelConfig, limits: Limits) -> int:
    """What a step holds beside weights and KV, rounded up: activations, a chunk's mask, logits with their copies."""
    heads = model.num_heads + 2 * model.num_kv_heads
    per_token = 4 * (8 * model.hidden_size + 4 * model.intermediate_size + 4 * heads * model.head_dim)
    mask = 4 * limits.token_budget * limits.max_model_tokens
    logits = 4 * 4 * limits.max_sequences * model.vocab_size
    return limits.token_budget * per_token + mask + logits + (64 << 20)
