"""The models of the bodies cover all that the official client can send, and the documents are made from them."""

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from openai.types import completion_create_params
from openai.types.chat import ChatCompletionStreamOptionsParam
from openai.types.chat import completion_create_params as chat_create_params

from common.types.errors import InvalidRequest
from router.http.compatibility import renewed, table
from router.http.openapi import document
from router.http.routes import ROUTES
from router.http.schema.chat import ChatBody
from router.http.schema.completion import CompletionBody
from router.http.schema.sampled import StreamOptions
from router.http.schema.strict import Strict, read
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "openai.md"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (ChatBody, chat_create_params.CompletionCreateParamsStreaming),
        (CompletionBody, completion_create_params.CompletionCreateParamsStreaming),
        (StreamOptions, ChatCompletionStreamOptionsParam),
    ],
)
def test_every_parameter_of_the_official_client_is_honoured_or_refused(body: type[Strict], known: Any) -> None:
    assert set(get_type_hints(known)) <= body.model_fields.keys() | body.refused.keys()


@pytest.mark.parametrize("body", [ChatBody, CompletionBody])
def test_nothing_is_both(body: type[Strict]) -> None:
    assert not body.model_fields.keys() & body.refused.keys()
    assert all(field.description for field in body.model_fields.values())


def test_null_is_absent_also_where_a_value_would_be_refused() -> None:
    said = {"role": "assistant", "content": "yes", "annotations": None, "audio": None, "function_call": None}
    body = read(ChatBody, {"messages": [said], "functions": None, "temperature": None})
    assert body.messages[0].content == "yes"
    with pytest.raises(InvalidRequest, match="nothing is cited"):
        read(ChatBody, {"messages": [{**said, "annotations": []}]})


def test_a_million_wrong_entries_make_one_complaint() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(CompletionBody, {"prompt": [1, *["x"] * 1_000_000]})
    assert [violation.field for violation in caught.value.violations] == ["prompt[1]"]


def test_unknown_names_get_the_nearest_known_one() -> None:
    for name, nearest in {"max_token": "max_tokens", "stream_option": "stream_options", "tool": "tools"}.items():
        with pytest.raises(InvalidRequest, match=f"did you mean '{nearest}'"):
            read(ChatBody, {**HELLO, name: 1})
    with pytest.raises(InvalidRequest, match="zzz: is not known"):
        read(ChatBody, {**HELLO, "zzz": 1})


def test_the_page_has_the_table_of_now() -> None:
    page = PAGE.read_text()
    assert table() in page, "run python -m router.http.compatibility docs/openai.md"
    assert renewed(page) == page


def test_every_reference_of_the_document_leads_somewhere() -> None:
    made = document()
    known = made["components"]["schemas"].keys()
    text = json.dumps(made)
    names = [part.split('"')[0] for part in text.split("#/components/schemas/")[1:]]
    assert set(names) <= known
    assert len(made["paths"]) == len({route.path for route in ROUTES})
    operations = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


def test_the_table_is_written_in_place(tmp_path: Path) -> None:
    from router.http.compatibility import BEGIN, END, main

    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    main(str(page))
    assert page.read_text() == f"before\n{BEGIN}\n\n{table()}\n{END}\nafter\n"
