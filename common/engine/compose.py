"""From sequences to a plan and back: the same on both legs. Knows nothing of blocks' owners, queues or budgets."""

from collections.abc import Iterable

from common.engine.messages import Event
from common.engine.plan import SampleRow, StepPlan, StepResult, Work
from common.engine.sequence import Sequence
from common.types.errors import BatonError, ConstraintFailed, InvalidRequest, Overloaded, invalid
from common.types.sampling import FinishReason, SampledToken, Sampling, TokenLogprobs

OUT_OF_MEMORY_RETRY_MS = 1000


def make_plan(
    takes: dict[Sequence, int],
    copies: Iterable[tuple[int, int]] = (),
    final_blocks: Iterable[int] = (),
    events: Iterable[Event] = (),
) -> tuple[StepPlan, list[Sequence]]:
    """A step that computes so many tokens of each sequence; also the sequences in the order of its works."""
    order = sorted(takes, key=lambda sequence: takes[sequence] != 1)
    works: list[Work] = []
    rows: list[SampleRow] = []
    for sequence in order:
        if takes[sequence] == sequence.num_remaining:
            for choice in sequence.next_choices:
                rows.append(_make_row(sequence, len(works), choice))
        works.append(_make_work(sequence, takes[sequence]))
    num_single = sum(take == 1 for take in takes.values())
    return StepPlan(tuple(works), tuple(rows), num_single, tuple(copies), tuple(final_blocks), tuple(events)), order


def drawn_tokens(plan: StepPlan, result: StepResult, max_model_tokens: int) -> list[list[SampledToken] | None]:
    """What each work yielded, finished choices marked; None for a work with a row that had nothing to choose from."""
    drawn: list[list[SampledToken] | None] = [None if at in result.exhausted else [] for at in range(len(plan.works))]
    for row, sampled in zip(plan.rows, result.sampled, strict=True):
        tokens = drawn[row.work]
        if sampled is None:
            drawn[row.work] = None
        elif tokens is not None:
            finish: FinishReason | None = FinishReason.STOP
            if not sampled.ended:
                finish = finish_reason(row.sampling, sampled.token_id, row.index, len(row.tokens) + 1, max_model_tokens)
            tokens.append(SampledToken(row.choice, row.index, sampled.token_id, sampled.logprobs, finish))
    return drawn


def why_refused(result: StepResult, work: int, sampling: Sampling) -> BatonError:
    """Why the attempt of a work that `drawn_tokens` has None for fails."""
    if work in result.exhausted:
        return Overloaded("the device has no memory for a step of this request", OUT_OF_MEMORY_RETRY_MS)
    return nothing_to_choose(sampling)


def nothing_to_choose(sampling: Sampling) -> InvalidRequest:
    """Why an attempt fails whose logits are not numbers, or of whose tokens bias or constraint leave none."""
    if sampling.constraint is not None:
        return ConstraintFailed()
    return invalid("sampling", "leaves no token to choose")


def new_scores(sequence: Sequence, work: Work, scores: tuple[TokenLogprobs, ...]) -> tuple[TokenLogprobs, ...]:
    """The scores not reported before: a sequence that was pre-empted computes some of them twice."""
    if len(scores) != len(work.score_ids):
        raise RuntimeError(f"{len(work.score_ids)} scores were asked for and {len(scores)} came")
    fresh = scores[sequence.num_scored - work.start :]
    sequence.num_scored += len(fresh)
    return fresh


def finish_reason(
    sampling: Sampling, token_id: int, index: int, num_tokens: int, max_model_tokens: int
) -> FinishReason | None:
    """Whether the token at `index` of an answer ends it; `num_tokens` counts prompt and answer, the token included."""
    if token_id in sampling.stop_token_ids and index + 1 >= sampling.min_tokens:
        return FinishReason.STOP
    if index + 1 >= sampling.max_tokens or num_tokens >= max_model_tokens:
        return FinishReason.LENGTH
    return None


def _make_work(sequence: Sequence, num_tokens: int) -> Work:
    start = sequence.num_computed
    end = start + num_tokens
    token_ids = tuple(sequence.tokens[start:end])
    if not sequence.needs_scores:
        return Work(sequence.key, token_ids, start, sequence.blocks)
    score_ids = tuple(sequence.tokens[start + 1 : min(end + 1, sequence.attempt.num_prompt_tokens)])
    num_alternatives = sequence.attempt.sampling.prompt_logprobs or 0
    return Work(sequence.key, token_ids, start, sequence.blocks, score_ids, num_alternatives)


def _make_row(sequence: Sequence, work: int, choice: int) -> SampleRow:
    attempt, tokens = sequence.attempt, sequence.tokens
    index = len(tokens) - attempt.num_prompt_tokens
    return SampleRow(work, attempt.id, choice, index, attempt.sampling, tokens, attempt.num_prompt_tokens)
