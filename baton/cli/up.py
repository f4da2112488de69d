"""`baton up`: a router and its workers on this machine, until Ctrl-C."""

import asyncio
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from baton.cli.doctor import installed
from baton.cli.findings import ROUTER_PACKAGES, WORKER_PACKAGES
from baton.cli.lines import Lines
from baton.cli.plan import plan, reachable
from baton.cli.ready import watch
from baton.cli.supervisor import Supervisor
from baton.client import Fleet
from baton.demo import MODEL as DEMO
from baton.demo import NAME as DEMO_NAME
from common.net.dial import Dial
from common.net.peers import OPERATOR
from common.net.server import split_address, try_address
from common.obs.memory import usable_cores
from common.types.config import UpConfig
from common.types.errors import BatonError, StartupError
from common.types.keys import fleet_key
from common.types.resolve import child_environment, load

NAME = "baton"
QUIET = {"GRPC_VERBOSITY": "ERROR"}
"""A server that ends is news to nobody who ended it: gRPC would print a line for each connection."""


def run(argv: Sequence[str]) -> int:
    config = load(UpConfig, "baton up", argv)
    lines = Lines(sys.stdout, plain=config.log_format == "json")

    def say(text: str) -> None:
        lines.write(NAME, text)

    _check_packages()
    model_id = config.model_id or ("" if config.model else DEMO_NAME)
    config = replace(config, model=_model(config.model, say), model_id=model_id)
    _check_free("--grpc", config.grpc)
    if config.http:
        _check_free("--http", config.http)
    _check_free("--fleet", config.fleet)
    config = replace(config, cache_key=config.cache_key or secrets.token_hex(32))
    environment = child_environment(argv, {"BATON_CACHE_KEY": config.cache_key, "PYTHONUNBUFFERED": "1", **QUIET})
    specs = plan(config, usable_cores(), environment)
    say(f"starting {', '.join(spec.name for spec in specs)}")
    lines.expect(*(spec.name for spec in specs))

    async def supervise() -> StartupError | None:
        health = _narrate(config, say)
        supervisor = Supervisor(specs, health=health, say=say, on_line=lines.write, drain_s=config.drain_s)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, supervisor.stop)
        async with aclosing(health):
            await supervisor.run()
        return supervisor.failure

    failure = asyncio.run(supervise())
    lines.close()
    say("ended")
    if failure is not None:
        raise failure
    return 0


def _check_packages() -> None:
    """A client alone needs none of them: `baton` may have been installed without."""
    missing = sorted(name for name in {*ROUTER_PACKAGES, *WORKER_PACKAGES} if installed(name) is None)
    if missing:
        fix = "In Baton's own folder: pip install '.[worker]'"
        raise StartupError(f"serving needs what is not installed here: {', '.join(missing)}", fix)


def _check_free(flag: str, address: str) -> None:
    """Seen before anything is started: on a taken port another fleet's router would answer, as if it were ours."""
    if not split_address(address)[1]:
        raise StartupError(f"{flag} names port 0", "Choose a number: clients and workers must find it")
    try:
        try_address(address)
    except StartupError as error:
        raise StartupError(f"{flag}: {error.cause}", error.fix) from error


def _model(model: str, say: Callable[[str], None]) -> str:
    """The folder to serve; the demo model's when none is named."""
    folder = Path(model) if model else DEMO
    if not (folder / "config.json").is_file():
        fix = "Check --model" if model else "Install Baton again, or name a model: --model DIR"
        raise StartupError(f"{folder} is no model folder: it has no config.json", fix)
    if not model:
        say("no --model is named: this is the demo model that comes with Baton, a very small one")
    return str(folder)


async def _narrate(config: UpConfig, say: Callable[[str], None]) -> AsyncGenerator[bool]:
    """Tells when the fleet begins and ceases to serve, and the first time also where."""
    told = False
    async with aclosing(watch(reachable(config.fleet), Dial.of("", config.fleet_tls, OPERATOR))) as health:
        async for serving in health:
            if serving:
                say(f"serving with {await _members(config)}")
                if not told:
                    say(f"clients connect to {_places(config)}; operators to {reachable(config.fleet)}")
                    say(f"try: {_command()} generate {_how(config)} 'Once upon a time'")
                told = True
            else:
                say("not serving: the router is away, or no decode worker takes work")
            yield serving


def _places(config: UpConfig) -> str:
    grpc = f"{reachable(config.grpc)} (gRPC)"
    scheme = "https" if config.tls_cert else "http"
    return f"{scheme}://{reachable(config.http)}/v1 (OpenAI) or {grpc}" if config.http else grpc


def _how(config: UpConfig) -> str:
    """The options that a client needs to get in."""
    trust = f" --tls-ca {config.tls_cert}" if config.tls_cert else ""
    key = " --api-key KEY" if config.keys not in ("", "off") else ""
    return f"--grpc {reachable(config.grpc)}{trust}{key}"


def _command() -> str:
    """How this program was called, so that it can be called again."""
    called = sys.argv[0]
    return called if called.endswith("baton") and shutil.which("baton") != called else "baton"


async def _members(config: UpConfig) -> str:
    try:
        async with Fleet(
            reachable(config.fleet), api_key=fleet_key(config.cache_key), fleet_tls=config.fleet_tls
        ) as fleet:
            members = await fleet.members()
    except BatonError as error:
        return f"members unknown ({error})"
    names = ", ".join(sorted(member.hello.member for member in members))
    num_workers = config.prefill + config.decode
    waiting = "" if len(members) >= num_workers else "; the others join when they have loaded"
    return f"{len(members)} of {num_workers} workers ({names}){waiting}"
