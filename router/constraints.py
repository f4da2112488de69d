"""Whether a constraint can be enforced, found out before its request is admitted, away from the event loop.

Owns the threads that try it, and what was found lately. Knows nothing of the rest of a request.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from common.text.compiler import Compiler, Vocabulary
from common.text.shelf import Shelf
from common.text.tokenizer import Tokenizer
from common.types.constraint import Constraint
from common.types.errors import InvalidRequest, Overloaded

NUM_THREADS = 2
MAX_UNDER_WAY = 64
MAX_FOUND, MAX_CHARS = 1024, 8 << 20
PATIENCE_S = 20.0
RETRY_AFTER_MS = 1000


class ConstraintCheck:
    """For one model. The same constraint is tried once, however many ask at the same time."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_ids: tuple[int, ...]) -> None:
        self._threads = ThreadPoolExecutor(NUM_THREADS, "constraints")
        self._compiler: Future[Compiler | InvalidRequest] = self._threads.submit(
            _make_compiler, tokenizer, vocab_size, end_ids
        )
        self._found: Shelf[Constraint, tuple[InvalidRequest | None]] = Shelf(MAX_FOUND, MAX_CHARS)
        self._under_way: dict[Constraint, asyncio.Future[InvalidRequest | None]] = {}

    async def refusal(self, constraint: Constraint | None) -> InvalidRequest | None:
        """Why it cannot be enforced, if so. Raises Overloaded when too many others are being tried."""
        if constraint is None:
            return None
        known = self._found.get(constraint)
        if known is not None:
            return known[0]
        trying = self._under_way.get(constraint)
        if trying is None:
            if len(self._under_way) >= MAX_UNDER_WAY:
                raise Overloaded("too many constraints are being compiled", RETRY_AFTER_MS)
            trying = asyncio.get_running_loop().run_in_executor(self._threads, self._try, constraint)
            self._under_way[constraint] = trying
            trying.add_done_callback(lambda done: self._note(constraint, done))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.shield(trying)
        except TimeoutError:
            raise Overloaded("compiling the constraint takes too long now", RETRY_AFTER_MS) from None

    def close(self) -> None:
        """What is being tried goes on to its end, unheard."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _try(self, constraint: Constraint) -> InvalidRequest | None:
        compiler = self._compiler.result()
        if isinstance(compiler, InvalidRequest):
            return compiler
        try:
            compiler.check(constraint)
        except InvalidRequest as error:
            return error
        return None

    def _note(self, constraint: Constraint, done: "asyncio.Future[InvalidRequest | None]") -> None:
        del self._under_way[constraint]
        if not done.cancelled() and done.exception() is None:
            self._found.put(constraint, (done.result(),), len(constraint.source) + 256)


def _make_compiler(tokenizer: Tokenizer, vocab_size: int, end_ids: tuple[int, ...]) -> Compiler | InvalidRequest:
    try:
        return Compiler(Vocabulary(tokenizer, vocab_size, end_ids)).warm_up()
    except InvalidRequest as error:
        return error
