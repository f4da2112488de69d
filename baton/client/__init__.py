"""The async client: what a user of a running fleet imports. Owns calls, never what is served."""

from baton.client.calls import ServerFailed, Unreachable
from baton.client.client import Client
from baton.client.fleet import Fleet
from baton.client.prompts import Asking, Chat, Message, Prompt
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
    PromptLogprobs,
    Timings,
    Tokens,
    Usage,
)
from common.types.constraint import Constraint

__all__ = [
    "Accepted",
    "Answer",
    "Asking",
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
    "Prompt",
    "PromptLogprobs",
    "ServerFailed",
    "Timings",
    "Tokens",
    "Unreachable",
    "Usage",
]
