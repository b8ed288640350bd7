"""An answer that breaks off in its body is a failure to every breaker that judges its instance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxying.breaker import Breaker
from proxying.breakers import Breakers
from proxying.services import Upstreams
from proxying.upstream.base import Timeouts, UpstreamError, UpstreamRequest
from proxying.upstream.native import NativeTransport
from routing.document import BreakerSpec, InstanceSpec, ServiceSpec
from routing.table import compile_service
from tests.proxying.plans import Clock, exchange
from tests.support.upstream import Upstream, answering

HALF = b"HTTP/1.1 %d Here\r\nContent-Length: 10\r\n\r\nhalf"


@pytest.fixture
async def transport() -> AsyncIterator[NativeTransport]:
    made = NativeTransport()
    yield made
    await made.close()


async def _broken(upstream: Upstream, transport: NativeTransport, **policy: Any) -> list[Breaker]:
    """The breakers after one answer that broke off."""
    breakers = Breakers()
    spec = ServiceSpec(
        instances=(InstanceSpec(url=upstream.url),), breaker=BreakerSpec(window=3600, **policy)
    )
    services = Upstreams(breakers, clock=Clock())
    asked = services.adopt({"s": compile_service("s", spec)})["s"]
    attempt = asked.begin(exchange(), Clock())
    assert attempt is not None
    request = UpstreamRequest("GET", b"/", [(b"host", b"h")], exchange().body)
    sending = transport.send(attempt.instance.origin, request, Timeouts(1, 1, 0.1, 1))
    await attempt.wait(sending)
    assert attempt.answer is not None
    assert await attempt.answer.read() == b"half"
    with pytest.raises(UpstreamError) as error:
        await attempt.answer.read()
    attempt.broke(error.value)
    attempt.close()
    return [breaker for _, breaker in breakers]


@pytest.mark.parametrize(("scope", "judges"), [("instance", 1), ("service", 1), ("both", 2)])
async def test_it_counts_wherever_a_breaker_does(
    upstream: Upstream, transport: NativeTransport, scope: str, judges: int
) -> None:
    upstream.script = answering(HALF % 200, close=True)
    breakers = await _broken(upstream, transport, scope=scope)
    assert [one.consecutive_failures for one in breakers] == [1] * judges


@pytest.mark.parametrize(
    ("failures", "counted"), [(("reset",), 1), (("timeout",), 0), (("5xx",), 0)]
)
async def test_it_counts_only_where_the_policy_says_so(
    upstream: Upstream, transport: NativeTransport, failures: tuple[str, ...], counted: int
) -> None:
    upstream.script = answering(HALF % 200, close=True)
    breakers = await _broken(upstream, transport, scope="both", failures=failures)
    assert [one.consecutive_failures for one in breakers] == [counted] * 2


async def test_a_body_that_stands_still_counts_as_a_time_out(
    upstream: Upstream, transport: NativeTransport
) -> None:
    upstream.script = answering(HALF % 200)
    breakers = await _broken(upstream, transport, scope="both", failures=("timeout",))
    assert [one.consecutive_failures for one in breakers] == [1, 1]


async def test_an_answer_that_was_a_failure_by_its_status_is_one_failure(
    upstream: Upstream, transport: NativeTransport
) -> None:
    upstream.script = answering(HALF % 500, close=True)
    breakers = await _broken(upstream, transport, scope="both")
    assert [one.consecutive_failures for one in breakers] == [1, 1]
