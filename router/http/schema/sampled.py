"""What completions and chat completions have in common: how tokens are chosen, how many, and how they are sent."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from router.http.schema.strict import FirstOnly, Strict

TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
MAX_STOP_IDS = 128
MAX_TEXTS = 1024
MAX_CHOICES = 4096
"""Lists are measured before anything in them is looked at."""


def _stop_form(stop: Any) -> str:
    return "~texts" if isinstance(stop, list) else "~text"


Texts = Annotated[list[str], FirstOnly()]
StopTexts = Annotated[Texts, Field(max_length=MAX_TEXTS)]
Stops = Annotated[Annotated[str, Tag("~text")] | Annotated[StopTexts, Tag("~texts")], Discriminator(_stop_form)]

REFUSED = {
    "use_beam_search": "answers are sampled; take n and sort them",
    "length_penalty": "there is no beam search",
    "early_stopping": "there is no beam search",
    "lora_path": "adapters are not served",
    "priority": "requests are served in the order of their arrival",
    "allowed_token_ids": "use logit_bias or a constraint",
    "bad_words": "use logit_bias",
    "truncate_prompt_tokens": "a prompt is never cut silently",
    "cache_salt": "caches are kept apart by key, not by request",
    "spaces_between_special_tokens": "text is always what the tokenizer decodes",
    "skip_special_tokens": "special tokens are never part of the text; return_token_ids shows them",
    "include_stop_str_in_output": "a stop text is never part of the answer",
    "guided_decoding_backend": "there is one",
    "guided_whitespace_pattern": "write a grammar",
}


class StreamOptions(Strict):
    """Options of a streamed answer."""

    refused: ClassVar = {"continuous_usage_stats": "usage comes once, at the end"}
    include_usage: bool | None = Field(None, description="End the stream with a chunk that has `usage`.")
    include_obfuscation: Literal[False] | None = Field(None, description="Only false: chunks are not padded.")


class StructuredOutputs(Strict):
    """What every answer must satisfy; exactly one of them."""

    json_: Any = Field(None, alias="json", description="A JSON schema, as an object or as text.")
    regex: str | None = Field(None, description="A regular expression.")
    choice: Texts | None = Field(None, description="One of these texts.", min_length=1, max_length=MAX_CHOICES)
    grammar: str | None = Field(None, description="A grammar in Lark's syntax.")
    json_object: bool | None = Field(None, description="Any JSON object.")


class Sampled(Strict):
    """Fields of both kinds of completion."""

    model: str | None = Field(None, description="The served model's id; may be absent.", max_length=256)
    n: int | None = Field(None, description="How many answers to each prompt; default 1.", ge=1)
    stop: Stops | None = Field(None, description="Texts that end an answer; not part of it.")
    seed: int | None = Field(None, description="Same seed, same answer. Random when absent.", ge=-(1 << 63), lt=1 << 64)
    temperature: float | None = Field(None, description="0 takes the likeliest token; default 1.")
    top_p: float | None = Field(None, description="Sample among the likeliest that make up this share; default 1.")
    presence_penalty: float | None = Field(None, description="Lowers tokens that were generated; default 0.")
    frequency_penalty: float | None = Field(None, description="Lowers them for each time; default 0.")
    logit_bias: dict[str, float] | None = Field(None, description="Token id to what is added to its logit.")
    stream: bool | None = Field(None, description="Send the answer as server-sent events, as it is made.")
    stream_options: StreamOptions | None = Field(None, description="Only with `stream`.")
    user: str | None = Field(None, description="Who asks; appears in the router's log.", max_length=256)
    top_k: int | None = Field(None, description="Sample among so many; 0 or -1 is all.", ge=-1)
    min_p: float | None = Field(None, description="Drop tokens less likely than this share of the likeliest.")
    repetition_penalty: float | None = Field(None, description="Divides the logits of tokens seen; default 1.")
    min_tokens: int | None = Field(None, description="No answer ends before so many tokens; default 0.")
    ignore_eos: bool | None = Field(None, description="Go on past the model's end token.")
    stop_token_ids: list[TokenId] | None = Field(
        None, description="Tokens that end an answer.", max_length=MAX_STOP_IDS
    )
    return_token_ids: bool | None = Field(None, description="Add `token_ids` to choices, `prompt_token_ids` once.")
    guided_json: Any = Field(None, description="Older name of `structured_outputs.json`.")
    guided_regex: str | None = Field(None, description="Older name of `structured_outputs.regex`.")
    guided_grammar: str | None = Field(None, description="Older name of `structured_outputs.grammar`.")
    guided_choice: Texts | None = Field(
        None, description="Older name of `structured_outputs.choice`.", min_length=1, max_length=MAX_CHOICES
    )
    structured_outputs: StructuredOutputs | None = Field(None, description="What the answer must satisfy.")
