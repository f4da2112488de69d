"""One fleet for all of them."""

from collections.abc import Iterator

import pytest

from tests.clients.served import Served, served


@pytest.fixture(scope="session")
def fleet() -> Iterator[Served]:
    with served() as running:
        yield running
