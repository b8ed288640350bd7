"""Refresh tokens in both stores: rotation is atomic, reuse ends the family, grace is for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keys.errors import KeyStoreUnavailable
from keys.refresh.base import Outcome, Owner, Presented, RefreshStore, Rotation
from keys.refresh.memory import MemoryStore
from keys.refresh.redis import RedisStore
from keys.refresh.texts import RefreshToken, TokenPress
from runtime.redis import blocking_client
from runtime.redis_place import Place
from tests.servers import Server, find_free_port

GRACE = 5_000
LIFETIME = 600_000
START = 1_750_000_000_000
PRESS = TokenPress("a secret of the tests")
USER = Owner("7", "stamp")

Make = Callable[..., RefreshStore]


class Clock:
    """Milliseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


@pytest.fixture(scope="module")
def client(redis_server: Server) -> Iterator[redis.Redis]:
    client = blocking_client(Place(redis_server.url, timeout=5.0))
    assert isinstance(client, redis.Redis)
    yield client
    client.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.services)])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes stores of each kind; those of Redis share its content."""

    def new(
        grace: int = GRACE, lifetime: int = LIFETIME, clock: Clock | None = None
    ) -> RefreshStore:
        clock = clock or Clock()
        if request.param == "memory":
            return MemoryStore(lifetime=lifetime, grace=grace, clock=clock)
        client = request.getfixturevalue("client")
        return RedisStore(client, lifetime=lifetime, grace=grace, prefix="t:", clock=clock)

    return new


def opened(store: RefreshStore) -> RefreshToken:
    token = PRESS.first()
    store.open(token.session, USER, token.digest)
    return token


def spend(store: RefreshStore, token: RefreshToken, salt: str = "salt") -> Rotation:
    successor = PRESS.successor(token, salt)
    return store.rotate(
        Presented(token.session, token.generation, token.digest, successor.digest, salt)
    )


def test_a_current_token_is_spent_and_its_successor_is_current(make: Make) -> None:
    store = make()
    first = opened(store)
    assert spend(store, first) == Rotation(Outcome.ROTATED, "salt", START)
    assert spend(store, PRESS.successor(first, "salt")).outcome is Outcome.ROTATED
    assert store.owner(first.session) == USER


def test_of_fifty_concurrent_refreshes_exactly_one_wins(make: Make) -> None:
    store = make(grace=0)
    token = opened(store)
    gate = threading.Barrier(50)

    def race(number: int) -> Outcome:
        gate.wait(20)
        return spend(store, token, f"salt-{number}").outcome

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(race, range(50)))
    assert outcomes.count(Outcome.ROTATED) == 1
    assert set(outcomes) == {Outcome.ROTATED, Outcome.REUSED, Outcome.REVOKED}


def test_within_the_grace_fifty_concurrent_refreshes_get_one_successor(make: Make) -> None:
    store = make()
    token = opened(store)
    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(lambda number: spend(store, token, f"salt-{number}"), range(50)))
    assert [one.outcome for one in done].count(Outcome.ROTATED) == 1
    assert {one.outcome for one in done} == {Outcome.ROTATED, Outcome.REPEATED}
    assert len({PRESS.successor(token, one.salt).text for one in done}) == 1


def test_a_spent_token_after_the_grace_ends_its_family(make: Make) -> None:
    clock = Clock()
    store = make(clock=clock)
    first = opened(store)
    spend(store, first)
    clock.now += GRACE
    assert spend(store, first).outcome is Outcome.REUSED
    assert spend(store, PRESS.successor(first, "salt")).outcome is Outcome.REVOKED
    assert spend(store, first).outcome is Outcome.REVOKED


def test_a_grandparent_has_no_grace(make: Make) -> None:
    store = make()
    first = opened(store)
    spend(store, first)
    spend(store, PRESS.successor(first, "salt"))
    assert spend(store, first).outcome is Outcome.REUSED


def test_a_clock_that_steps_back_does_not_lengthen_the_grace(make: Make) -> None:
    clock = Clock()
    store = make(clock=clock)
    first = opened(store)
    spend(store, first)
    clock.now -= 2 * GRACE
    assert spend(store, first).outcome is Outcome.REUSED


def test_without_rotation_a_token_stays_valid(make: Make) -> None:
    store = make()
    token = opened(store)
    kept = Presented(token.session, 0, token.digest, "", "")
    assert store.rotate(kept).outcome is Outcome.VALID
    assert store.rotate(kept).outcome is Outcome.VALID


def test_a_revoked_family_is_over_and_revoking_twice_is_once(make: Make) -> None:
    store = make()
    token = opened(store)
    store.revoke(token.session)
    store.revoke(token.session)
    assert spend(store, token).outcome is Outcome.REVOKED
    assert store.owner(token.session) == USER


def test_an_unknown_session_stays_unknown_when_revoked(make: Make) -> None:
    store = make()
    stranger = PRESS.first()
    store.revoke(stranger.session)
    assert spend(store, stranger).outcome is Outcome.UNKNOWN
    assert store.owner(stranger.session) is None


def test_a_token_of_a_lost_future_is_unknown_and_harms_nobody(make: Make) -> None:
    """As after a store that came back from a copy: nobody spent what it does not know."""
    store = make()
    first = opened(store)
    assert spend(store, PRESS.successor(first, "lost")).outcome is Outcome.UNKNOWN
    assert spend(store, first).outcome is Outcome.ROTATED


def test_a_family_ends_with_its_lifetime_and_a_rotation_prolongs_it() -> None:
    clock = Clock()
    store = MemoryStore(lifetime=LIFETIME, grace=0, clock=clock)
    idle, used = opened(store), opened(store)
    clock.now += LIFETIME - 1
    spend(store, used)
    clock.now += 1
    assert store.owner(idle.session) is None
    assert store.owner(used.session) == USER


@pytest.mark.services
def test_redis_forgets_a_family_by_itself(client: redis.Redis) -> None:
    store = RedisStore(client, lifetime=LIFETIME, grace=0, prefix="t:")
    token = opened(store)
    client.pexpire(f"t:refresh:{token.session}", 1_000)
    spend(store, token)
    assert client.pttl(f"t:refresh:{token.session}") > LIFETIME - 60_000


@pytest.mark.services
def test_redis_holds_no_token(client: redis.Redis) -> None:
    store = RedisStore(client, lifetime=LIFETIME, grace=0, prefix="t:")
    token = opened(store)
    spend(store, token)
    stored = repr(client.hgetall(f"t:refresh:{token.session}"))
    for spent_or_current in (token, PRESS.successor(token, "salt")):
        for part in spent_or_current.text.split(".")[2:]:
            assert part not in stored


def test_a_redis_that_is_away_is_neither_yes_nor_no() -> None:
    place = Place(f"redis://127.0.0.1:{find_free_port()}", timeout=0.2)
    store = RedisStore(blocking_client(place), lifetime=LIFETIME, grace=0)
    for ask in (
        lambda: opened(store),
        lambda: store.owner("session"),
        lambda: spend(store, PRESS.first()),
        lambda: store.revoke("session"),
    ):
        with pytest.raises(KeyStoreUnavailable):
            ask()


def test_the_memory_of_families_is_bounded() -> None:
    store = MemoryStore(lifetime=LIFETIME, grace=0, size=3)
    tokens = [opened(store) for _ in range(5)]
    assert [store.owner(token.session) is not None for token in tokens] == [False] * 2 + [True] * 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(0, 6), st.integers(0, 2)),
        st.tuples(st.just("keep"), st.integers(0, 6), st.just(0)),
        st.tuples(st.just("revoke"), st.just(0), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([1, GRACE - 1, GRACE, -GRACE]), st.just(0)),
    ),
    max_size=25,
)


class Model:
    """Every token one client ever saw, spent in any order with any of three salts."""

    def __init__(self, store: RefreshStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.seen = [RefreshToken("session", 0, "first")]
        self.answers: list[Rotation] = []
        self.store.open("session", USER, self.seen[0].digest)

    def step(self, kind: str, number: int, salt: int) -> None:
        if kind == "wait":
            self.clock.now += number
        elif kind == "revoke":
            self.store.revoke("session")
        else:
            self._present(self.seen[number % len(self.seen)], f"salt-{salt}", kind == "spend")

    def _present(self, token: RefreshToken, salt: str, rotate: bool) -> None:
        following = PRESS.successor(token, salt).digest if rotate else ""
        done = self.store.rotate(
            Presented("session", token.generation, token.digest, following, salt)
        )
        self.answers.append(done)
        if done.outcome in (Outcome.ROTATED, Outcome.REPEATED):
            successor = PRESS.successor(token, done.salt)
            if successor not in self.seen:
                self.seen.append(successor)


@given(STEPS)
def test_in_any_order_each_token_is_spent_once_and_nothing_follows_a_reuse(
    steps: list[tuple[str, int, int]],
) -> None:
    clock = Clock()
    model = Model(MemoryStore(lifetime=LIFETIME, grace=GRACE, clock=clock), clock)
    for step in steps:
        model.step(*step)
    outcomes = [answer.outcome for answer in model.answers]
    assert outcomes.count(Outcome.ROTATED) == len(model.seen) - 1
    if Outcome.REUSED in outcomes:
        assert set(outcomes[outcomes.index(Outcome.REUSED) + 1 :]) <= {Outcome.REVOKED}


@pytest.mark.services
@given(steps=STEPS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_memory_and_redis_judge_alike(
    client: redis.Redis, steps: list[tuple[str, int, int]]
) -> None:
    client.delete("t:refresh:session")
    clocks = Clock(), Clock()
    options = {"lifetime": LIFETIME, "grace": GRACE}
    models = (
        Model(MemoryStore(**options, clock=clocks[0]), clocks[0]),
        Model(RedisStore(client, **options, prefix="t:", clock=clocks[1]), clocks[1]),
    )
    for step in steps:
        for model in models:
            model.step(*step)
    assert models[0].answers == models[1].answers
