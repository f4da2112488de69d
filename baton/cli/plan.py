"""Which processes `baton up` runs, with which flags, on which cores. Pure."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from baton.cli.child import ChildSpec
from common.types.config import DEVICE_SHARE, RouterConfig, UpConfig, WorkerConfig
from common.types.device import CPU, parse_device
from common.types.ids import Role
from common.types.show import shared_flags

CORES_PER_REST = 16
PREFILL_NICE = 20  # last of all: common/engine/back_seat.py says what keeps it from starving
ROUTER_STAGE, WORKER_STAGE = 0, 1
ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def plan(config: UpConfig, cores: Sequence[int], environment: Mapping[str, str]) -> tuple[ChildSpec, ...]:
    """The router first. Workers get cores of their own when there are enough, and so does all that does not compute."""
    roles = [Role.PREFILL] * config.prefill + [Role.DECODE] * config.decode
    devices = list(islice(cycle(config.devices), len(roles)))
    on_host = all(device == CPU for device in devices)
    seats = seat(cores, config.prefill, config.decode, on_host) if config.pin else Seats()
    router = _spec("router", "router", shared_flags(config, RouterConfig), ROUTER_STAGE, environment)
    specs = [replace(router, cores=seats.rest)]
    for place, role in enumerate(roles):
        number = place if role is Role.PREFILL else place - config.prefill
        name = f"{role.value}-{number}"
        flags = [*shared_flags(config, WorkerConfig), f"--name={name}", f"--routers={reachable(config.fleet)}"]
        flags.append("--listen=127.0.0.1:0")
        flags += device_flags(devices, place)
        own = seats.computing[place] if seats.computing else ()
        flags += [*_cores_flag("cores", own), *_cores_flag("loop-cores", seats.rest)]
        if seats.prefill_nice and role is Role.PREFILL:
            flags.append(f"--nice={seats.prefill_nice}")
        flags.append(f"--threads={config.threads or len(own) or max(1, len(cores) // len(roles))}")
        specs.append(_spec(name, f"{role.value}_worker", flags, WORKER_STAGE, environment))
    return tuple(specs)


def device_flags(devices: Sequence[str], place: int) -> list[str]:
    """This worker's device; workers that share one share its memory out."""
    own = parse_device(devices[place])
    if own is None or not own.is_cuda:
        return [f"--device={devices[place]}"]
    num_sharing = sum(parse_device(other) == own for other in devices)
    return [f"--device={own}", f"--device-share={DEVICE_SHARE / num_sharing:.3g}"]


@dataclass(frozen=True, slots=True)
class Seats:
    """Who runs on which cores. Nothing of it means: wherever the system puts it."""

    computing: tuple[tuple[int, ...], ...] = ()  # by worker, prefill first
    rest: tuple[int, ...] = ()  # for all that does not compute: the router, and each worker's network
    prefill_nice: int = 0


def seat(cores: Sequence[int], num_prefill: int, num_decode: int, on_host: bool) -> Seats:
    """With few cores all that does not compute shares those of prefill, which steps back: what disturbs a prompt makes
    one answer late, what disturbs decode delays all of them.
    """
    num_workers = num_prefill + num_decode
    if len(cores) > 2 * num_workers:
        num_rest = max(1, len(cores) // CORES_PER_REST)
        return Seats(share(sorted(cores)[num_rest:], num_workers), tuple(sorted(cores)[:num_rest]))
    shares = share(cores, num_workers)
    if not shares or not on_host:
        return Seats(shares)
    return Seats(shares, tuple(core for each in shares[:num_prefill] for core in each), PREFILL_NICE)


def share(cores: Sequence[int], num_shares: int) -> tuple[tuple[int, ...], ...]:
    """Neighbouring cores for each, none twice; earlier shares are the larger ones. Nothing when there are too few."""
    if len(cores) < num_shares:
        return ()
    size, rest = divmod(len(cores), num_shares)
    shares, start = [], 0
    for place in range(num_shares):
        end = start + size + (place < rest)
        shares.append(tuple(sorted(cores)[start:end]))
        start = end
    return tuple(shares)


def reachable(address: str) -> str:
    """Where to connect to what listens there: an any-address is listened on, never dialled."""
    host, _, port = address.rpartition(":")
    return f"{ANY_HOST.get(host, host)}:{port}"


def _spec(name: str, module: str, flags: Sequence[str], stage: int, environment: Mapping[str, str]) -> ChildSpec:
    return ChildSpec(name, (sys.executable, "-m", module, *flags), stage, environment)


def _cores_flag(name: str, cores: Sequence[int]) -> tuple[str, ...]:
    return (f"--{name}={','.join(map(str, cores))}",) if cores else ()
