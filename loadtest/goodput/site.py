"""One worker's engine on virtual time: its production scheduler, and steps that take as long as the machine says."""

from collections.abc import Callable

from common.engine.loop import Scheduler
from common.engine.messages import Command, Event
from common.engine.plan import Sampled, StepPlan, StepResult
from loadtest.goodput.speeds import Speeds
from loadtest.simulator.clock import Clock

TOKEN = 7
"""What every step samples: nothing here depends on it."""


class Site:
    """Plan, run, commit, for as long as there is work; as the engine's thread does it."""

    def __init__(
        self, clock: Clock, scheduler: Scheduler, speeds: Speeds, on_events: Callable[[tuple[Event, ...]], None]
    ) -> None:
        self.scheduler = scheduler
        self.longest_s = 0.0
        self._clock, self._speeds, self._on_events = clock, speeds, on_events
        self._commands: list[Command] = []
        self._busy = False

    def post(self, command: Command) -> None:
        """Taken before the next step is planned."""
        self._commands.append(command)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        events: list[Event] = []
        commands, self._commands = self._commands, []
        for command in commands:
            events += self.scheduler.accept(command, self._clock.now)
        plan = self.scheduler.plan(self._clock.now)
        self._busy = plan is not None
        if plan is not None:
            events += plan.events
            seconds = self._speeds.step_s(plan)
            if plan.num_decode:
                self.longest_s = max(self.longest_s, seconds)
            self._clock.after(seconds, self._end, plan, seconds)
        self._on_events(tuple(events))

    def _end(self, plan: StepPlan, seconds: float) -> None:
        sampled = tuple(Sampled(TOKEN) for _ in plan.rows)
        result = StepResult(sampled, seconds, checksums=(0,) * len(plan.final_blocks))
        self._on_events(self.scheduler.commit(plan, result, self._clock.now))
        self._begin()
