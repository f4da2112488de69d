"""What `generate` and `chat` share: options as arguments of a call, and the line that tells where the time went."""

from pathlib import Path

from baton.client import Asking, Done
from common.types.config import AskConfig
from common.types.constraint import Constraint, ConstraintKind
from common.types.options import ConfigError


def asking_of(config: AskConfig) -> Asking:
    """The options as the client takes them; no model or seed unless one was named."""
    asking: Asking = {
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "stop": config.stop,
        "explain": config.explain,
    }
    if config.model_id:
        asking["model"] = config.model_id
    if config.seed >= 0:
        asking["seed"] = config.seed
    constraint = _constraint_of(config)
    if constraint is not None:
        asking["constraint"] = constraint
    return asking


def _constraint_of(config: AskConfig) -> Constraint | None:
    """At most one of the options that say what the answer must look like."""
    asked: list[Constraint] = []
    if config.json_object:
        asked.append(Constraint.json_object())
    if config.json_schema:
        asked.append(Constraint(ConstraintKind.JSON_SCHEMA, _text(config.json_schema)))
    if config.regex:
        asked.append(Constraint.regex(config.regex))
    if config.grammar:
        asked.append(Constraint.grammar(_text(config.grammar)))
    if config.choice:
        asked.append(Constraint.choice(config.choice))
    if len(asked) > 1:
        names = " and ".join(f"--{constraint.kind.value.replace('_', '-')}" for constraint in asked)
        raise ConfigError(f"{names} each say what the answer must look like", "Give one of them")
    return asked[0] if asked else None


def _text(value: str) -> str:
    return Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value


def summary(done: Done) -> str:
    """Time to the first token, speed, and the split of the time; the tokens behind them."""
    timings, usage = done.timings, done.usage
    streaming_s = (timings.total_ms - timings.ttft_ms) / 1000
    num_more = usage.num_output_tokens - 1
    speed = f"{num_more / streaming_s:.1f} tokens/s" if num_more > 0 and streaming_s > 0 else "one token"
    split = (
        f"queue {timings.queue_ms:.1f} + prefill {timings.prefill_ms:.1f} + "
        f"hand-off {timings.handoff_ms:.1f} + decode {timings.decode_ms:.1f} ms"
    )
    tokens = f"{usage.num_prompt_tokens} tokens in ({usage.num_cached_tokens} cached), {usage.num_output_tokens} out"
    tries = f"; {done.num_attempts} attempts" if done.num_attempts > 1 else ""
    return f"first token {timings.ttft_ms:.1f} ms, {speed}; {split}; {tokens}{tries}"


def explained(done: Done) -> list[str]:
    """The router's decisions, a line each."""
    return [f"{why.decision}: {why.chosen} ({'; '.join(why.candidates)})" for why in done.explanations]
