"""What is said where Triton cannot launch: before the first request, and with the fix."""

import subprocess

import pytest

from common.kernels import toolchain
from common.kernels.toolchain import check_launches
from common.types.errors import StartupError

runtime = pytest.importorskip("triton.runtime")


class Driver:
    """Its library is made when it is first asked for."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    @property
    def active(self) -> "Driver":
        if self._failure is not None:
            raise self._failure
        return self

    utils = object()


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("Failed to find C compiler."),
        subprocess.CalledProcessError(1, "gcc"),
        ImportError("failed to map segment from shared object"),
        AssertionError("libcuda.so cannot found!"),
    ],
)
def test_without_a_compiler_the_start_ends_with_the_fix(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "driver", Driver(failure))
    with pytest.raises(StartupError, match="install gcc, libc6-dev") as caught:
        check_launches()
    assert type(failure).__name__ in caught.value.cause
    assert str(failure) not in str(caught.value)


def test_where_it_can_launch_or_is_not_installed_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "driver", Driver(None))
    check_launches()
    monkeypatch.setattr(runtime, "driver", Driver(RuntimeError("never asked")))
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    check_launches()
