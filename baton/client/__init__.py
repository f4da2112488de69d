"""The async client: what a user of a running fleet imports. Owns calls, never what is served."""

from baton.client.calls import ServerFailed, Unreachable
from baton.client.chats import Chat, Message, ToolCall, as_chat
from baton.client.client import Client
from baton.client.fleet import Fleet
from baton.client.prompts import Asking, Prompt
from baton.client.results import (
    Accepted,
    Answer,
    Completion,
    Delta,
    Done,
    Event,
    Explanation,
    Member,
    Model,
    Part,
    PromptLogprobs,
    Timings,
    Tokens,
    Usage,
)
from common.text.tools.parts import CallArguments, CallBegin, Reasoning
from common.types.constraint import Constraint
from common.types.tools import Tool, ToolChoice

__all__ = [
    "Accepted",
    "Answer",
    "Asking",
    "CallArguments",
    "CallBegin",
    "Chat",
    "Client",
    "Completion",
    "Constraint",
    "Delta",
    "Done",
    "Event",
    "Explanation",
    "Fleet",
    "Member",
    "Message",
    "Model",
    "Part",
    "Prompt",
    "PromptLogprobs",
    "Reasoning",
    "ServerFailed",
    "Timings",
    "Tokens",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "Unreachable",
    "Usage",
    "as_chat",
]
