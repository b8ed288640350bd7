"""``python -m tests.support.bad_keys PORT NUMBER CONNECTIONS``: requests with random API keys.

A process of its own, so that it takes no turn of the interpreter from whoever measures. Every
connection sends the next request when it has the answer; prints how many had which status as JSON.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path


def send_bad_keys(port: int, number: int, connections: int) -> dict[str, int]:
    """Send *number* requests, each with a key of its own; how many had which status or code."""
    command = [
        sys.executable,
        "-m",
        "tests.support.bad_keys",
        *map(str, (port, number, connections)),
    ]
    output = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    ).stdout
    counts: dict[str, int] = json.loads(output)
    return counts


async def _send(port: int, number: int, connections: int) -> Counter[str]:
    numbers, seen = iter(range(number)), Counter[str]()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in numbers:
            key = secrets.token_urlsafe(32)
            writer.write(
                f"GET /keyed HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: gw_{key}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            await reader.readexactly(int(fields["content-length"]))
            seen[fields.get("x-gateway-error", head[9:12])] += 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_send(*map(int, sys.argv[1:4])))))
