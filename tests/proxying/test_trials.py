"""Of the workers that share an instance one at a time tries it, with as many as allowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxying.breaker import Breaker, Outcome, Permit, State, Verdict
from proxying.breakers import Breakers
from proxying.services import Upstreams
from proxying.trial_board import TrialBoard
from routing.document import BreakerSpec
from tests.proxying.plans import URLS, Clock, exchange, service

KEY = ("billing", "http://10.0.0.1:80")
TRIALS = 2
RECOVERY = 30.0
SPEC = BreakerSpec(failure_threshold=1, recovery=RECOVERY, half_open_requests=TRIALS)
HOLD_THE_TURN = """
import sys
from pathlib import Path
from proxying.breaker import State, Verdict
from proxying.trial_board import TrialBoard
turn = TrialBoard(Path(sys.argv[1])).turn_of(("billing", "http://10.0.0.1:80"))
print(turn.begin()[0], flush=True)
sys.stdin.readline()
turn.end(Verdict(State.OPEN, 12.5))
print("ended", flush=True)
sys.stdin.readline()
"""


class Shared:
    """Turns in memory, between workers of one process."""

    def __init__(self) -> None:
        self.holder: object = None
        self.last: Verdict | None = None


class Turn:
    """One worker's."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared

    def begin(self) -> tuple[bool, Verdict | None]:
        if self.shared.holder not in (None, self):
            return False, None
        self.shared.holder = self
        return True, self.shared.last

    def end(self, verdict: Verdict | None) -> None:
        self.shared.last = verdict or self.shared.last
        if self.shared.holder is self:
            self.shared.holder = None


class Workers(RuleBasedStateMachine):
    """Three workers before one instance; ``held`` are the trial requests under way."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        shared = Shared()
        self.breakers = [Breaker(SPEC) for _ in range(3)]
        for breaker in self.breakers:
            breaker.trials = Turn(shared)
            breaker.force(State.OPEN, 0.0, "begin")
        self.held: list[tuple[Breaker, Permit]] = []

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 2))
    def ask(self, which: int) -> None:
        breaker = self.breakers[which]
        permit = breaker.acquire(self.now)
        if permit is None:
            assert not breaker.allows(self.now)
        elif breaker.state is State.HALF_OPEN:
            self.held.append((breaker, permit))
        else:
            breaker.release(permit, Outcome.IGNORED, self.now)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def end(self, data: st.DataObject, outcome: Outcome) -> None:
        breaker, permit = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        breaker.release(permit, outcome, self.now)
        if breaker.state is not State.HALF_OPEN:
            # What else it has under way is of a trial that is over.
            self.held = [each for each in self.held if each[0] is not breaker]

    @invariant()
    def one_worker_tries_with_as_many_as_allowed(self) -> None:
        assert len(self.held) <= TRIALS
        assert len({id(breaker) for breaker, _ in self.held}) <= 1

    @invariant()
    def nobody_is_shut_out_for_ever(self) -> None:
        later = self.now + RECOVERY + 1
        assert any(each.allows(later) for each in self.breakers) or self.held


Workers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWorkers = Workers.TestCase


def test_a_worker_waits_while_another_one_tries_and_takes_its_verdict_over(tmp_path: Path) -> None:
    turn = TrialBoard(tmp_path).turn_of(KEY)
    command = [sys.executable, "-c", HOLD_THE_TURN, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert turn.begin() == (False, None)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "ended\n"
        assert turn.begin() == (True, Verdict(State.OPEN, 12.5))
        other.kill()


def test_a_turn_is_free_again_when_its_worker_is_killed(tmp_path: Path) -> None:
    turn = TrialBoard(tmp_path).turn_of(KEY)
    command = [sys.executable, "-c", HOLD_THE_TURN, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        other.kill()
        other.wait()
        assert turn.begin() == (True, None)


def test_without_a_directory_each_worker_tries_for_itself(tmp_path: Path) -> None:
    turn = TrialBoard(tmp_path / "missing").turn_of(KEY)
    assert turn.begin() == (True, None)
    turn.end(Verdict(State.CLOSED, 1.0))


async def test_a_request_goes_elsewhere_while_another_worker_tries_an_instance() -> None:
    shared, clock = Shared(), Clock()
    shared.holder = "another worker"
    breakers = Breakers(turns=lambda _: Turn(shared))
    upstream = Upstreams(breakers, random=Random(1), clock=clock).adopt(service(2, breaker=SPEC))
    breaker = breakers.get("s", URLS[0])
    assert breaker is not None
    breaker.force(State.OPEN, 0.0, "test")
    for _ in range(4):
        attempt = upstream["s"].begin(exchange(), clock)
        assert attempt is not None
        assert attempt.instance.url == URLS[1]
        attempt.close()
    assert breaker.state is State.OPEN
    shared.holder = None
    clock.now += 1
    urls = set()
    for _ in range(2):
        attempt = upstream["s"].begin(exchange(), clock)
        assert attempt is not None
        urls.add(attempt.instance.url)
    assert urls == set(URLS[:2])
