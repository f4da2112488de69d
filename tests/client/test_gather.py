"""Events put together to one completion: by choice, in order, and only when the stream came to its end."""

from itertools import permutations

import pytest

from baton.client.gather import Gathered
from baton.client.results import Accepted, Delta, Done, Event, PromptLogprobs, Timings, Usage
from common.types.errors import Unavailable
from common.types.sampling import FinishReason, TokenLogprobs

ACCEPTED = Accepted("r-1", "m", 3)
DONE = Done(Usage(3, 0, 4), Timings(0, 0, 0, 0, 0, 0), 1)


def gathered(*events: Event) -> Gathered:
    made = Gathered()
    for event in events:
        made.add(event)
    return made


def test_texts_and_tokens_of_an_answer_are_joined_in_order() -> None:
    deltas = (Delta(0, "He", (1, 2)), Delta(0, "", (3,)), Delta(0, "llo", (), finish=FinishReason.STOP))
    (answer,) = gathered(ACCEPTED, *deltas, DONE).completion().answers
    assert (answer.text, answer.token_ids, answer.finish) == ("Hello", (1, 2, 3), FinishReason.STOP)


def test_answers_stand_by_their_number_however_they_came() -> None:
    deltas = [Delta(choice, f"answer {choice}", (choice,)) for choice in (0, 1, 2)]
    for order in permutations(deltas):
        completion = gathered(ACCEPTED, *order, DONE).completion()
        assert [answer.text for answer in completion.answers] == ["answer 0", "answer 1", "answer 2"]
        assert completion.text == "answer 0"


def test_answers_that_take_turns_are_kept_apart() -> None:
    deltas = [Delta(place % 2, letter, (place,)) for place, letter in enumerate("aAbBcC")]
    completion = gathered(ACCEPTED, *deltas, DONE).completion()
    assert [(answer.text, answer.token_ids) for answer in completion.answers] == [
        ("abc", (0, 2, 4)),
        ("ABC", (1, 3, 5)),
    ]


@pytest.mark.parametrize(
    "events",
    [(), (ACCEPTED,), (DONE,), (ACCEPTED, Delta(0, "half", (1,))), (Delta(0, "x", (1,)), DONE)],
    ids=["nothing", "accepted only", "done only", "broken off", "never accepted"],
)
def test_a_stream_that_is_not_whole_is_no_completion(events: tuple[Event, ...]) -> None:
    with pytest.raises(Unavailable, match="ended before its last event"):
        gathered(*events).completion()


def test_an_answer_without_tokens_is_a_completion_without_answers() -> None:
    completion = gathered(ACCEPTED, DONE).completion()
    assert completion.answers == ()
    assert completion.prompt_logprobs == ()
    assert completion.accepted == ACCEPTED
    assert completion.done == DONE


def test_parts_of_the_prompts_probabilities_are_one() -> None:
    a, b, c = (TokenLogprobs(token, -0.5) for token in range(3))
    parts = [PromptLogprobs((a, b)), PromptLogprobs(()), PromptLogprobs((c,))]
    assert gathered(ACCEPTED, *parts, DONE).completion().prompt_logprobs == (a, b, c)
