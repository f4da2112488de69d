"""Turns what was asked into a request that can be served, or into one violation for every field that is wrong.

Owns every limit on a request and every default. Pure: the prompt is tokenized already, the seed is passed in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.types.config import RouterConfig
from common.types.errors import InvalidRequest, Violation
from common.types.sampling import Sampling
from router.ask import Ask

MAX_STOP_TOKEN_IDS = 128
MAX_LOGIT_BIAS = 1024
MAX_SEED = (1 << 64) - 1
NUMBERS = {
    "sampling.temperature": (0.0, 100.0),
    "sampling.top_k": (0, (1 << 31) - 1),
    "sampling.top_p": (1e-6, 1.0),
    "sampling.min_p": (0.0, 1.0),
    "sampling.repetition_penalty": (0.01, 100.0),
    "sampling.presence_penalty": (-100.0, 100.0),
    "sampling.frequency_penalty": (-100.0, 100.0),
    "sampling.seed": (0, MAX_SEED),
}
MAX_BIAS = 1000.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the served model and the operator allow. `max_model_tokens` is what the fleet can hold of the context."""

    vocab_size: int
    max_model_tokens: int
    end_token_ids: tuple[int, ...]
    max_prompt_tokens: int
    max_output_tokens: int
    max_choices: int
    max_stop_strings: int
    max_stop_chars: int
    max_logprobs: int

    @classmethod
    def of(
        cls, config: RouterConfig, *, vocab_size: int, max_model_tokens: int, end_token_ids: tuple[int, ...]
    ) -> "Limits":
        return cls(
            vocab_size=vocab_size,
            max_model_tokens=max_model_tokens,
            end_token_ids=end_token_ids,
            max_prompt_tokens=config.max_prompt_tokens or max_model_tokens - 1,
            max_output_tokens=config.max_output_tokens or max_model_tokens,
            max_choices=config.max_choices,
            max_stop_strings=config.max_stop_strings,
            max_stop_chars=config.max_stop_chars,
            max_logprobs=config.max_logprobs,
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants, complete and within every limit. Every retry repeats exactly this."""

    id: str
    token_ids: tuple[int, ...]
    sampling: Sampling
    num_choices: int = 1
    stop: tuple[str, ...] = ()
    explain: bool = False
    shown_special_ids: frozenset[int] = frozenset()
    cache_salt: bytes = b""
    traceparent: str = ""


class _Violations:
    """Collects what is wrong instead of stopping at the first."""

    def __init__(self) -> None:
        self.found: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        self.found.append(Violation(field, description))

    def between(self, field: str, value: float | None, low: float, high: float) -> None:
        """Not-a-number fails every comparison and so is refused too."""
        if value is not None and not low <= value <= high:
            self.add(field, f"must be between {low:.12g} and {high:.12g}")

    def at_most(self, field: str, num: int, high: int, what: str) -> bool:
        if num > high:
            self.add(field, f"has {num} {what}, at most {high} are allowed")
        return num <= high

    def in_vocabulary(self, field: str, ids: Sequence[int], vocab_size: int) -> None:
        wrong = [token_id for token_id in ids if not 0 <= token_id < vocab_size]
        if wrong:
            self.add(field, f"token id {wrong[0]} is outside the vocabulary of {vocab_size}")


def validate(
    ask: Ask,
    token_ids: tuple[int, ...],
    limits: Limits,
    *,
    id: str,
    seed: int,
    refusal: InvalidRequest | None = None,
) -> Request:
    """Raises InvalidRequest with all violations: those of `refusal`, which is the constraint's, among them.

    `seed` serves when the client named none.
    """
    wrong = _Violations()
    if refusal is not None:
        wrong.found.extend(refusal.violations)
    num_choices = 1 if ask.num_choices is None else ask.num_choices
    wrong.between("n", num_choices, 1, limits.max_choices)
    max_tokens = _lengths(ask, token_ids, limits, wrong)
    _sampling(ask, limits, wrong)
    _stops(ask, limits, wrong)
    if wrong.found:
        raise InvalidRequest(*wrong.found)
    end = () if ask.ignore_eos else limits.end_token_ids
    sampling = Sampling(
        seed=seed if ask.seed is None else ask.seed,
        temperature=_default(ask.temperature, 1.0),
        top_k=ask.top_k or 0,
        top_p=_default(ask.top_p, 1.0),
        min_p=ask.min_p or 0.0,
        repetition_penalty=_default(ask.repetition_penalty, 1.0),
        presence_penalty=ask.presence_penalty or 0.0,
        frequency_penalty=ask.frequency_penalty or 0.0,
        logit_bias=tuple(sorted(ask.logit_bias.items())),
        max_tokens=max_tokens,
        min_tokens=ask.min_tokens or 0,
        stop_token_ids=tuple(dict.fromkeys((*ask.stop_token_ids, *end))),
        logprobs=ask.logprobs,
        prompt_logprobs=ask.prompt_logprobs,
        constraint=ask.constraint,
    )
    return Request(id, token_ids, sampling, num_choices, ask.stop, ask.explain, shown_special_ids=ask.shown_special_ids)


def _lengths(ask: Ask, token_ids: tuple[int, ...], limits: Limits, wrong: _Violations) -> int:
    """The number of tokens an answer may have: what was asked, or what context and server leave."""
    num_prompt, context = len(token_ids), limits.max_model_tokens
    if not num_prompt:
        wrong.add("prompt", "must not be empty")
    longest = min(limits.max_prompt_tokens, context - 1)
    if num_prompt > longest:
        wrong.add("prompt", f"has {num_prompt} tokens, at most {longest} are allowed")
    if isinstance(ask.prompt, tuple):
        wrong.in_vocabulary("tokens", token_ids, limits.vocab_size)
    room = max(1, context - num_prompt)
    max_tokens = min(room, limits.max_output_tokens) if ask.max_tokens is None else ask.max_tokens
    if max_tokens < 1:
        wrong.add("max_tokens", "must be at least 1")
    elif max_tokens > limits.max_output_tokens:
        wrong.add("max_tokens", f"must be at most {limits.max_output_tokens}")
    elif max_tokens > room and num_prompt <= longest:
        wrong.add("max_tokens", f"the prompt's {num_prompt} tokens leave {room} of {context}, not {max_tokens}")
    min_tokens = ask.min_tokens or 0
    if min_tokens < 0 or min_tokens > max(max_tokens, 0):
        wrong.add("min_tokens", f"must be between 0 and max_tokens ({max_tokens})")
    return max_tokens


def _sampling(ask: Ask, limits: Limits, wrong: _Violations) -> None:
    for name, (low, high) in NUMBERS.items():
        wrong.between(name, getattr(ask, name.removeprefix("sampling.")), low, high)
    wrong.between("logprobs", ask.logprobs, 0, limits.max_logprobs)
    wrong.between("prompt_logprobs", ask.prompt_logprobs, 0, limits.max_logprobs)
    if wrong.at_most("sampling.logit_bias", len(ask.logit_bias), MAX_LOGIT_BIAS, "entries"):
        wrong.in_vocabulary("sampling.logit_bias", tuple(ask.logit_bias), limits.vocab_size)
        if not all(-MAX_BIAS <= bias <= MAX_BIAS for bias in ask.logit_bias.values()):
            wrong.add("sampling.logit_bias", f"must be between {-MAX_BIAS:g} and {MAX_BIAS:g}")


def _stops(ask: Ask, limits: Limits, wrong: _Violations) -> None:
    if wrong.at_most("stop", len(ask.stop), limits.max_stop_strings, "strings"):
        if any(not text for text in ask.stop):
            wrong.add("stop", "must not hold an empty string")
        if any(len(text) > limits.max_stop_chars for text in ask.stop):
            wrong.add("stop", f"strings have at most {limits.max_stop_chars} characters")
    if wrong.at_most("stop_token_ids", len(ask.stop_token_ids), MAX_STOP_TOKEN_IDS, "ids"):
        wrong.in_vocabulary("stop_token_ids", ask.stop_token_ids, limits.vocab_size)


def _default(value: float | None, default: float) -> float:
    return default if value is None else value
