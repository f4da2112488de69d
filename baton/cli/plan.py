"""Which processes `baton up` runs, with which flags, on which cores. Pure."""

import sys
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

from baton.cli.child import ChildSpec
from common.types.config import DEVICE_SHARE, RouterConfig, UpConfig, WorkerConfig
from common.types.device import parse_device
from common.types.ids import Role
from common.types.show import shared_flags

ROUTER_STAGE, WORKER_STAGE = 0, 1
ANY_HOST = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


def plan(config: UpConfig, cores: Sequence[int], environment: Mapping[str, str]) -> tuple[ChildSpec, ...]:
    """The router first. Workers get cores of their own when there are enough; the router stays free to roam."""
    roles = [Role.PREFILL] * config.prefill + [Role.DECODE] * config.decode
    shares = share(cores, len(roles)) if config.pin else ()
    threads = config.threads or max(1, len(cores) // len(roles))
    devices = list(islice(cycle(config.devices), len(roles)))
    specs = [_spec("router", "router", shared_flags(config, RouterConfig), ROUTER_STAGE, environment)]
    for place, role in enumerate(roles):
        number = place if role is Role.PREFILL else place - config.prefill
        name = f"{role.value}-{number}"
        flags = [*shared_flags(config, WorkerConfig), f"--name={name}", f"--routers={reachable(config.fleet)}"]
        flags.append("--listen=127.0.0.1:0")
        flags += device_flags(devices, place)
        if shares:
            flags.append(f"--cores={','.join(map(str, shares[place]))}")
        flags.append(f"--threads={config.threads or (len(shares[place]) if shares else threads)}")
        specs.append(_spec(name, f"{role.value}_worker", flags, WORKER_STAGE, environment))
    return tuple(specs)


def device_flags(devices: Sequence[str], place: int) -> list[str]:
    """This worker's device; workers that share one share its memory out."""
    own = parse_device(devices[place])
    if own is None or not own.is_cuda:
        return [f"--device={devices[place]}"]
    num_sharing = sum(parse_device(other) == own for other in devices)
    return [f"--device={own}", f"--device-share={DEVICE_SHARE / num_sharing:.3g}"]


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
