"""From what the serving writes to the messages of `Inference`. Decides nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from baton.v1 import inference_pb2
from common.net.convert import finish_to_proto, logprobs_to_proto
from common.net.convert_delta import plain_delta_bytes
from common.text.tools.parts import CallArguments, CallBegin, Content, Part, Reasoning
from router.answer import Delta
from router.answer_reader import AnswerReader
from router.reading import Reading
from router.relay import Scores
from router.serving import Accepted, Message
from router.timeline import Summary


class Apart:
    """Reads the answers to one chat apart: what is no word for the user goes into the parts of its deltas."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._readers: dict[int, AnswerReader] = {}

    def responses(self, message: Message) -> Sequence[inference_pb2.GenerateResponse]:
        if isinstance(message, Delta):
            return tuple(self._deltas(message))
        answer = response(message)
        if isinstance(message, Summary):
            answer.done.usage.num_reasoning_tokens = sum(each.num_reasoning_tokens for each in self._readers.values())
        return (answer,)

    def _deltas(self, delta: Delta) -> Iterator[inference_pb2.GenerateResponse]:
        """In one message text stands before parts; where text follows a part, another message begins.

        What is told of the tokens goes with the first one, the finish with the last.
        """
        reader = self._readers.get(delta.choice)
        if reader is None:
            reader = self._readers[delta.choice] = AnswerReader(self._reading, whole=False)
        parts = reader.feed(delta.text, len(delta.token_ids))
        if delta.finish is not None:
            parts += reader.end()
        made = response(delta._replace(text="", finish=None))
        for part in parts:
            if isinstance(part, Content):
                if made.delta.parts:
                    yield made
                    made = response(Delta(delta.choice, "", (), (), None))
                made.delta.text += part.text
            else:
                made.delta.parts.append(_part(part))
        made.delta.finish = finish_to_proto(delta.finish)
        yield made


def _part(part: Part) -> inference_pb2.Part:
    match part:
        case Reasoning(text):
            return inference_pb2.Part(reasoning=text)
        case CallBegin(index, id, name):
            return inference_pb2.Part(call_begin=inference_pb2.ToolCallBegin(index=index, id=id, name=name))
        case CallArguments(index, text):
            return inference_pb2.Part(call_arguments=inference_pb2.ToolCallArguments(index=index, text=text))
        case Content():
            raise TypeError("words for the user are a delta's text")


def encoded(message: Message) -> tuple[inference_pb2.GenerateResponse | bytes]:
    """What most messages are is written out here: a server lets bytes pass."""
    if isinstance(message, Delta):
        choice, text, token_ids, logprobs, finish = message
        if finish is None and not logprobs:
            return (plain_delta_bytes(choice, text, token_ids),)
    return (response(message),)


def response(message: Message) -> inference_pb2.GenerateResponse:
    match message:
        case Delta():
            delta = inference_pb2.Delta(
                choice=message.choice,
                text=message.text,
                token_ids=message.token_ids,
                logprobs=[logprobs_to_proto(logprobs) for logprobs in message.logprobs],
                finish=finish_to_proto(message.finish),
            )
            return inference_pb2.GenerateResponse(delta=delta)
        case Accepted():
            accepted = inference_pb2.Accepted(
                request_id=message.request_id,
                model=message.model,
                num_prompt_tokens=message.num_prompt_tokens,
            )
            return inference_pb2.GenerateResponse(accepted=accepted)
        case Scores(tokens):
            scores = inference_pb2.PromptLogprobs(tokens=[logprobs_to_proto(token) for token in tokens])
            return inference_pb2.GenerateResponse(prompt_logprobs=scores)
        case Summary():
            return inference_pb2.GenerateResponse(done=_done(message))


def _done(summary: Summary) -> inference_pb2.Done:
    explanations = [
        inference_pb2.Explanation(decision=why.decision, chosen=why.chosen, candidates=why.candidates)
        for why in summary.explanations
    ]
    usage = inference_pb2.Usage(
        num_prompt_tokens=summary.num_prompt_tokens,
        num_cached_tokens=summary.num_cached_tokens,
        num_output_tokens=summary.num_output_tokens,
    )
    return inference_pb2.Done(
        usage=usage,
        timings=inference_pb2.Timings(**asdict(summary.timings)),
        num_attempts=summary.num_attempts,
        explanations=explanations,
    )
