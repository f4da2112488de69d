"""Requests that the published document allows, and many that it forbids: never a server's error, never without end."""

import json
import urllib.request
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.clients.served import Served

schemathesis: Any = pytest.importorskip("schemathesis")
pytestmark = pytest.mark.filterwarnings("default")
PATIENCE_S = 30.0
NUM_EXAMPLES = 40
OPERATIONS = (
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/version"),
)


@pytest.fixture(scope="module")
def document(fleet: Served) -> Any:
    with urllib.request.urlopen(f"{fleet.url}/openapi.json", timeout=PATIENCE_S) as reply:
        return json.load(reply)


@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_one_of_the_document_s(fleet: Served, document: Any, method: str, path: str, mode: str) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=fleet.url)
    operation = schema[path][method]
    if mode == "NEGATIVE" and not operation.body:
        pytest.skip("has no body that could be wrong")
    cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode])

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def check(case: Any) -> None:
        response = case.call(timeout=PATIENCE_S)
        assert response.status_code < 500, response.text
        case.validate_response(response, excluded_checks=_beyond_the_document())
        if response.status_code >= 400:
            assert set(response.json()["error"]) >= {"message", "type", "param", "code"}

    check()


def _beyond_the_document() -> list[Any]:
    """A body may follow the schema and still ask for what this model or fleet does not have."""
    return [schemathesis.checks.positive_data_acceptance, schemathesis.checks.negative_data_rejection]
