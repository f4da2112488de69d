"""Runs `async def` tests on a fresh event loop each, so that no test inherits another's tasks."""

import asyncio
import gc
import inspect
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, however slow the machine: a change is judged by what it changed. New examples are looked
# for with `pytest --hypothesis-profile search`.
CALM = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
settings.register_profile("search", deadline=None, suppress_health_check=CALM)
settings.register_profile("gate", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("gate")

# Whoever runs the tests in the background ignores Ctrl-C, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Triton chooses between a device and its interpreter when it is first imported, which other libraries do at will. Where
# there is a device, kernels are `make gpu`'s business.
if not Path("/dev/nvidiactl").exists():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_finish() -> None:
    """What tests start is not to inherit the choice; what was imported is not looked through after each."""
    os.environ.pop("TRITON_INTERPRET", None)
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    function = pyfuncitem.obj
    if not inspect.iscoroutinefunction(function):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(function(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
