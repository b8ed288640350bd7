"""The specification's design written plainly: FastAPI, uvicorn, httpx, one Redis call a request.

Not a straw man: one client for all requests, clients kept over requests, keys in memory instead
of a database, steps called in order instead of as a stack of middleware classes. What it does is
what the specification asks for: key, token bucket in Redis, breaker, retry, JSON line.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import redis.asyncio
from fastapi import FastAPI, HTTPException, Request, Response

FULL = os.environ["BENCH_WORKLOAD"] == "full"
INSTANCES = [f"http://127.0.0.1:{port}" for port in os.environ["BENCH_UPSTREAMS"].split(",")]
KEYS = {hashlib.sha256(os.environ["BENCH_KEY"].encode()).hexdigest(): "bench"}
LIMIT = 1_000_000
ATTEMPTS = 3
HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
REPLACED = HOP_BY_HOP | {"host", "content-length", "x-api-key"}
RETRIED = {502, 503, 504}
BUCKET = """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local limit = tonumber(ARGV[1])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1]) or limit, tonumber(state[2]) or now
tokens = math.min(limit, tokens + (now - at) * limit)
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 60)
return {allowed and 1 or 0, math.floor(tokens)}
"""

log = logging.getLogger("plain_design")
turns = itertools.cycle(INSTANCES)


class Clients:
    """The plain way: clients of the process."""

    http: httpx.AsyncClient
    store: redis.asyncio.Redis


clients = Clients()


class Breaker:
    """Opens for 30 seconds after five failures in a row."""

    def __init__(self) -> None:
        self.failures = 0
        self.open_until = 0.0

    def allows(self) -> bool:
        """Whether the instance may be asked."""
        return time.monotonic() >= self.open_until

    def record(self, good: bool) -> None:
        """Count an answer."""
        self.failures = 0 if good else self.failures + 1
        if self.failures >= 5:
            self.open_until = time.monotonic() + 30


breakers = {instance: Breaker() for instance in INSTANCES}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """One client for the upstreams and one for Redis, as long as the process lives."""
    handler = logging.FileHandler(os.environ["BENCH_LOG"])
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    clients.store = redis.asyncio.Redis(port=int(os.environ["BENCH_REDIS_PORT"]))
    async with httpx.AsyncClient(timeout=30) as clients.http:
        yield
    await clients.store.aclose()


app = FastAPI(lifespan=lifespan)


async def handle(request: Request) -> Response:
    """Identify, spend, forward, log."""
    started = time.perf_counter()
    status = 500
    try:
        if FULL:
            await check_rate_limit(authenticate_api_key(request))
        response = await forward_request(request)
    except HTTPException as error:
        status = error.status_code
        raise
    else:
        status = response.status_code
        return response
    finally:
        if FULL:
            write_line(request, status, time.perf_counter() - started)


def authenticate_api_key(request: Request) -> str:
    """The consumer of the key, or 401."""
    digest = hashlib.sha256(request.headers.get("x-api-key", "").encode()).hexdigest()
    if digest not in KEYS:
        raise HTTPException(401)
    return KEYS[digest]


async def check_rate_limit(consumer: str) -> None:
    """One call of the bucket script, or 429."""
    allowed, _ = await clients.store.eval(BUCKET, 1, f"plain-design:{consumer}", str(LIMIT))
    if not allowed:
        raise HTTPException(429)


async def forward_request(request: Request) -> Response:
    """The answer of an instance, the first good one of three tries."""
    headers = [(name, value) for name, value in request.headers.items() if name not in REPLACED]
    body = await request.body()
    path = request.url.path
    for attempt in range(ATTEMPTS if FULL else 1):
        instance = next(turns) if FULL else INSTANCES[0]
        breaker = breakers[instance]
        if not breaker.allows():
            continue
        try:
            answer = await clients.http.request(
                request.method, instance + path, headers=headers, content=body
            )
        except httpx.TransportError:
            breaker.record(good=False)
        else:
            breaker.record(good=answer.status_code not in RETRIED)
            if answer.status_code not in RETRIED:
                return as_response(answer)
        await asyncio.sleep(0.05 * 2**attempt)
    raise HTTPException(502)


def as_response(answer: httpx.Response) -> Response:
    """The upstream's answer for the client."""
    headers = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
    return Response(answer.content, answer.status_code, headers)


def write_line(request: Request, status: int, seconds: float) -> None:
    """One JSON line."""
    log.info(
        json.dumps(
            {
                "time": time.time(),
                "method": request.method,
                "path": request.url.path,
                "status": status,
                "client": request.client.host if request.client else "",
                "seconds": round(seconds, 6),
            }
        )
    )


app.add_api_route("/{path:path}", handle, methods=["GET", "POST", "PUT", "DELETE"])
