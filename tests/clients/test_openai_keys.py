"""A fleet with keys: the official client's own errors for who may not, and for who asks too often."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.types.keys import Key, digest_of, line_of
from tests.clients.served import Served, served

openai = pytest.importorskip("openai")
ANN, BO = "ann's key", "bo's key"
ASKED: dict[str, Any] = {"model": "tiny", "prompt": "A relay race", "max_tokens": 2}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    file: Path = tmp_path_factory.mktemp("keys") / "keys"
    keys = (Key("ann", digest_of(ANN)), Key("bo", digest_of(BO), requests_per_min=2))
    file.write_text("".join(f"{line_of(key)}\n" for key in keys))
    file.chmod(0o600)
    with served(f"--keys={file}") as running:
        yield running


def client(fleet: Served, key: str) -> Any:
    return openai.OpenAI(base_url=fleet.v1, api_key=key, max_retries=0, timeout=60)


def test_a_known_key_is_served(locked: Served) -> None:
    with client(locked, ANN) as own:
        assert own.completions.create(**ASKED).usage.completion_tokens == 2


def test_an_unknown_key_is_not(locked: Served) -> None:
    with client(locked, "other") as stranger:
        with pytest.raises(openai.AuthenticationError) as caught:
            stranger.completions.create(**ASKED)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()


def test_an_operator_s_route_wants_an_operator_s_key(locked: Served) -> None:
    with client(locked, ANN) as own, pytest.raises(openai.PermissionDeniedError):
        own.get(f"{locked.url}/fleet", cast_to=object)


def test_who_asks_too_often_is_told_when_to_come_again(locked: Served) -> None:
    with client(locked, BO) as own:
        own.completions.create(**ASKED)
        own.completions.create(**ASKED)
        with pytest.raises(openai.RateLimitError) as caught:
            own.completions.create(**ASKED)
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
