"""The body of /v1/completions."""

from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag

from router.http.schema.sampled import REFUSED, Sampled, Texts, TokenId
from router.http.schema.strict import FirstOnly

MAX_PROMPTS = 4096
Ids = Annotated[list[TokenId], FirstOnly()]
IdLists = Annotated[list[Ids], FirstOnly(), Field(max_length=MAX_PROMPTS)]


def _form(prompt: Any) -> str:
    """By the first entry: a list with a million ids is not tried as three other things before."""
    if not isinstance(prompt, list):
        return "~text"
    first = prompt[0] if prompt else ""
    return "~texts" if isinstance(first, str) else "~id_lists" if isinstance(first, list) else "~ids"


PromptForms = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[Texts, Field(max_length=MAX_PROMPTS), Tag("~texts")]
    | Annotated[Ids, Tag("~ids")]
    | Annotated[IdLists, Tag("~id_lists")],
    Discriminator(_form),
]


class CompletionBody(Sampled):
    """Text or token ids to go on from."""

    refused: ClassVar = {
        **REFUSED,
        "suffix": "text is only ever continued, not filled in",
        "prompt_embeds": "send text or token ids",
    }
    prompt: PromptForms = Field(description="One prompt or a list: texts, or token ids.")
    max_tokens: int | None = Field(
        None, description="Longest answer; default 16. 0 only with `echo`: scores the prompt.", ge=0
    )
    logprobs: int | None = Field(None, description="Log probabilities with so many alternatives.", ge=0)
    prompt_logprobs: int | None = Field(
        None, description="The same for the prompt, as `prompt_logprobs`; a stream begins with them.", ge=0
    )
    echo: bool | None = Field(None, description="Answers begin with the prompt; with `logprobs`, its tokens too.")
    best_of: int | None = Field(None, description="Only equal to `n`: all answers are returned.", ge=1)
    add_special_tokens: bool | None = Field(
        None, description="Whether the tokenizer adds its own to a text; default true."
    )
