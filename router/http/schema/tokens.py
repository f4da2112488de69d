"""The bodies of /tokenize and /detokenize."""

from typing import Annotated

from pydantic import Field

from common.types.tools import MAX_TOOLS
from router.http.schema.chat import MAX_MESSAGES, Message, Tool
from router.http.schema.sampled import TokenId
from router.http.schema.strict import FirstOnly, Strict

MAX_IDS = 1 << 18


class TokenizeBody(Strict):
    """A text, or a conversation to render first."""

    model: str | None = Field(None, description="The served model's id; may be absent.", max_length=256)
    prompt: str | None = Field(None, description="A text. Either this or `messages`.")
    messages: list[Message] | None = Field(None, description="A conversation.", min_length=1, max_length=MAX_MESSAGES)
    tools: list[Tool] | None = Field(None, description="With `messages`.", max_length=MAX_TOOLS)
    add_generation_prompt: bool | None = Field(None, description="Open the assistant's turn; default true.")
    add_special_tokens: bool | None = Field(
        None, description="Whether the tokenizer adds its own to a text; default true."
    )
    return_token_strs: bool | None = Field(None, description="Add the text of each token.")


class DetokenizeBody(Strict):
    """Token ids to turn back into text."""

    model: str | None = Field(None, description="The served model's id; may be absent.", max_length=256)
    tokens: Annotated[list[TokenId], FirstOnly()] = Field(description="The ids.", max_length=MAX_IDS)
    skip_special_tokens: bool | None = Field(None, description="Leave them out; default false.")
