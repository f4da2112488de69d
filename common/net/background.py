"""Background tasks with an owner. An error in one that nobody translated is a bug: the loop's handler hears of it."""

import asyncio
from collections.abc import Coroutine


class Background:
    """Tasks started on behalf of one thing, cancelled with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settle)
        return task

    def cancel(self) -> None:
        """Cancels all but the task that calls this."""
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()

    async def close(self) -> None:
        """Cancels all and waits until they have ended."""
        self.cancel()
        pending = self._tasks - {asyncio.current_task()}
        if pending:
            await asyncio.wait(pending)

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a background task failed", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)
