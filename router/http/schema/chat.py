"""The body of /v1/chat/completions."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from common.types.tools import MAX_CALL_ID_CHARS, MAX_TOOLS, NAME_PATTERN
from router.http.schema.sampled import REFUSED, Sampled
from router.http.schema.strict import FirstOnly, Strict

MAX_MESSAGES = 1024
MAX_PARTS = 1024
MAX_VARIABLES = 128
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
ONLY_TEXT = "this model reads text only"


class TextPart(Strict):
    """A piece of a message's text."""

    refused: ClassVar = {"image_url": ONLY_TEXT, "input_audio": ONLY_TEXT, "file": ONLY_TEXT}
    type: Literal["text"] = Field(description="Only text: images, audio and files are refused.")
    text: str = Field(description="The text.")


class CalledFunction(Strict):
    """Which function a call calls, and with what."""

    name: Name
    arguments: str = Field(description="A JSON object, as text.")


class ToolCall(Strict):
    """A call the assistant made."""

    id: str = Field(min_length=1, max_length=MAX_CALL_ID_CHARS)
    type: Literal["function"] = "function"
    function: CalledFunction


def _content_form(content: Any) -> str:
    return "~parts" if isinstance(content, list) else "~text"


Parts = Annotated[list[TextPart], FirstOnly(), Field(max_length=MAX_PARTS)]
Content = Annotated[Annotated[str, Tag("~text")] | Annotated[Parts, Tag("~parts")], Discriminator(_content_form)]


class Message(Strict):
    """One turn."""

    refused: ClassVar = {
        "audio": ONLY_TEXT,
        "function_call": "use tool_calls",
        "annotations": "nothing is cited",
    }
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = Field(None, description="Text, or a list of text parts, joined by line breaks.")
    name: str | None = Field(None, description="Who speaks; for templates that show it.", max_length=256)
    tool_calls: list[ToolCall] | None = Field(None, description="assistant: what it called.", max_length=MAX_TOOLS)
    tool_call_id: str | None = Field(None, description="tool: the call this answers.", max_length=MAX_CALL_ID_CHARS)
    refusal: str | None = Field(None, description="assistant: stands for `content` when there is none.")
    reasoning: str | None = Field(None, description="assistant: what it thought; for templates that show it.")
    reasoning_content: str | None = Field(None, description="The same under its other name.")


class Function(Strict):
    """What the model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = Field(None, description="A JSON schema of the arguments.")
    strict: bool | None = Field(None, description="Arguments always follow the schema where a call is forced.")


class Tool(Strict):
    """One tool."""

    type: Literal["function"] = Field(description="Only functions.")
    function: Function


class NamedFunction(Strict):
    """A function by name."""

    name: Name


class NamedTool(Strict):
    """Forces a call of this tool."""

    type: Literal["function"]
    function: NamedFunction


def _choice_form(choice: Any) -> str:
    return "~by_name" if isinstance(choice, dict) else "~text"


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("~text")] | Annotated[NamedTool, Tag("~by_name")],
    Discriminator(_choice_form),
]


class JsonSchema(Strict):
    """A schema with a name."""

    name: str = Field(max_length=256)
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="The JSON schema.")
    description: str | None = None
    strict: bool | None = Field(None, description="Answers always follow the schema, whatever is said here.")


class ResponseFormat(Strict):
    """What the answer is."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = Field(None, description="With type json_schema.")


class ChatBody(Sampled):
    """A conversation to answer."""

    refused: ClassVar = {
        **REFUSED,
        "audio": ONLY_TEXT,
        "function_call": "use tool_choice",
        "functions": "use tools",
        "metadata": "nothing is stored",
        "moderation": "nothing is moderated",
        "prediction": "answers are not predicted",
        "prompt_cache_key": "equal beginnings find each other's cache by content",
        "prompt_cache_options": "the cache has no options per request",
        "prompt_cache_retention": "blocks are kept until someone needs the room",
        "verbosity": "say it in the prompt",
        "web_search_options": "nothing is fetched",
        "chat_template": "the template comes from the model, never from a client",
        "continue_final_message": "send the text to /v1/completions",
        "documents": "put them into a message",
        "mm_processor_kwargs": ONLY_TEXT,
        "echo": "only /v1/completions echoes",
        "best_of": "take n",
    }
    messages: list[Message] = Field(description="Oldest first.", min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, description="Longest answer, reasoning included.", ge=1)
    max_tokens: int | None = Field(None, description="Older name of `max_completion_tokens`.", ge=1)
    logprobs: bool | None = Field(None, description="Log probabilities of the answer's tokens.")
    top_logprobs: int | None = Field(None, description="With so many alternatives. Needs `logprobs`.", ge=0)
    prompt_logprobs: int | None = Field(
        None, description="The same for the prompt, as `prompt_logprobs`; a stream begins with them.", ge=0
    )
    response_format: ResponseFormat | None = Field(None, description="text, json_object or json_schema.")
    tools: list[Tool] | None = Field(None, description="Functions the model may call.", max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = Field(None, description="none, auto, required, or one by name.")
    parallel_tool_calls: bool | None = Field(None, description="Whether there may be several calls; default true.")
    modalities: list[Literal["text"]] | None = Field(None, description='Only ["text"].')
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        None, description="Given to the chat template, where it knows it; else refused."
    )
    safety_identifier: str | None = Field(None, description="Newer name of `user`.", max_length=256)
    service_tier: Literal["auto", "default"] | None = Field(None, description="There is one tier.")
    store: Literal[False] | None = Field(None, description="Only false: nothing is stored.")
    add_generation_prompt: bool | None = Field(None, description="Open the assistant's turn; default true.")
    chat_template_kwargs: dict[str, bool | int | float | str] | None = Field(
        None, description="Variables the model's template knows, such as enable_thinking.", max_length=MAX_VARIABLES
    )
