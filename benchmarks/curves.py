"""The gateway alone, over growing numbers: routes, keys, body, connections, workers.

Points of a curve are measured in alternating rounds, each on a gateway of its own where its
configuration differs, so that what the machine does meanwhile falls on all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import gateway
from benchmarks.comparing import Effort, in_rounds
from benchmarks.facts import Curve, Point, Sample, Target, Workload
from benchmarks.load import Wrk, check, with_path
from benchmarks.machine import Cores, memory
from benchmarks.surroundings import SIZES, Surroundings

CONNECTIONS = (1, 8, 64, 256, 1024)
SCALES = ((10, 10), (100, 10), (1_000, 10), (10_000, 10), (10, 1_000), (10, 100_000))
BOTH = (10_000, 100_000)
_WARM_UP_SECONDS = 2.0
_WALK_SECONDS = 20.0
_MOST_WALKS = 30
_WALK_MARGIN = 1.1
_FULL = Workload.FULL
_MANY_CORES = 4


def curves(around: Surroundings, effort: Effort) -> Iterator[Curve]:
    """One curve after the other."""
    target = _one_gateway(around)
    yield connections(target, around, effort)
    yield downloads(target, around, effort)
    yield uploads(target, around, effort)
    around.processes.stop(target.session)
    yield scale(around, effort)
    yield from workers(around, effort)


def _one_gateway(around: Surroundings) -> Target:
    own = gateway.new_gateway(around, _FULL, "curves")
    own.apply()
    target = own.serve(own.new_key())
    check(target)
    return target


def _run(wrk: Wrk, target: Target, effort: Effort, label: str) -> Sample:
    wrk.run(target, _WARM_UP_SECONDS)
    sample = wrk.run(target, effort.seconds)
    print(f"curve: {label}: {sample.rate:,.0f}/s", flush=True)
    return sample


def _alternating(
    clients: Sequence[tuple[str, Wrk, Target]], effort: Effort
) -> dict[str, list[Sample]]:
    by_label = {label: (wrk, target) for label, wrk, target in clients}

    def measure(labelled: Target) -> Sample:
        wrk, target = by_label[labelled.name]
        return _run(wrk, target, effort, labelled.name)

    named = [replace(target, name=label) for label, _, target in clients]
    return in_rounds(named, effort.rounds, measure)


def connections(target: Target, around: Surroundings, effort: Effort) -> Curve:
    """Clients at once."""
    clients = [
        (f"{count:,}", Wrk(around.cores.rest, connections=count), target) for count in CONNECTIONS
    ]
    samples = _alternating(clients, effort)
    points = [Point(label, samples[label]) for label, _, _ in clients]
    return Curve("Connections", "Full workload, 1 KB answers.", points)


def downloads(target: Target, around: Surroundings, effort: Effort) -> Curve:
    """Answers of growing size, and the same straight from the upstream."""
    wrk = Wrk(around.cores.rest, connections=16)
    return _sizes(
        "Answers from 1 KB to 10 MB",
        "Full workload, 16 connections; direct: the same without a gateway.",
        (target, around.direct),
        effort,
        lambda name, each: (wrk, with_path(each, f"/bytes/{name}", SIZES[name])),
    )


def uploads(target: Target, around: Surroundings, effort: Effort) -> Curve:
    """Request bodies of growing size, read whole by the upstream."""
    return _sizes(
        "Uploads from 1 KB to 10 MB",
        "As above, with the body in the request. wrk counts bytes of answers only: "
        "MB/s here is requests times size.",
        (target, around.direct),
        effort,
        lambda name, each: (
            Wrk(around.cores.rest, 16, "upload.lua", (str(SIZES[name]),)),
            with_path(each, "/upload"),
        ),
    )


def _sizes(
    title: str,
    setup: str,
    both: tuple[Target, Target],
    effort: Effort,
    client: Callable[[str, Target], tuple[Wrk, Target]],
) -> Curve:
    clients = [(f"{name} {each.name}", *client(name, each)) for name in SIZES for each in both]
    found = {
        label: [
            replace(sample, bytes_per_second=sample.rate * SIZES[label.split()[0]])
            for sample in samples
        ]
        for label, samples in _alternating(clients, effort).items()
    }
    ours, direct = both
    points = [
        Point(name, found[f"{name} {ours.name}"], direct=found[f"{name} {direct.name}"])
        for name in SIZES
    ]
    return Curve(title, setup, points)


def scale(around: Surroundings, effort: Effort) -> Curve:
    """Routes and keys. Every route and every key is asked for, in turn."""
    clients = [
        (f"{routes:,} routes, {keys:,} keys", *_scaled(around, routes, keys))
        for routes, keys in (*SCALES, BOTH)
    ]
    for (_, wrk, target), (routes, keys) in zip(clients, (*SCALES, BOTH), strict=True):
        _ask_for_all(wrk, target, max(routes, keys))
    samples = _alternating(clients, effort)
    points = []
    for label, _, target in clients:
        points.append(Point(label, samples[label], memory(target.session, target.aside)))
        around.processes.stop(target.session)
    return Curve("Routes and keys", "Full workload; all routes and keys in turn.", points)


def _ask_for_all(wrk: Wrk, target: Target, count: int) -> None:
    """Let every route and key be asked for, so that memory and caches hold them all: each walk
    begins with the first of them, so the last one is met by one that is fast enough.
    """
    for _ in range(_MOST_WALKS):
        if wrk.run(target, _WALK_SECONDS).rate * _WALK_SECONDS > _WALK_MARGIN * count:
            return


def _scaled(around: Surroundings, routes: int, keys: int) -> tuple[Wrk, Target]:
    own = gateway.new_gateway(around, _FULL, f"scale-{routes}-{keys}")
    own.apply(_routes_file(own.directory, routes))
    credentials = own.new_keys(keys)
    requests = own.directory / "requests.txt"
    requests.touch(mode=0o600)
    # As many lines as the larger number, so that each is asked for equally often.
    requests.write_text(
        "\n".join(
            f"/scale/r{line % routes}/item {credentials[line % keys]}"
            for line in range(max(routes, keys))
        )
        + "\n",
        "ascii",
    )
    target = with_path(own.serve(credentials[0]), "/scale/r0/item")
    check(target)
    return Wrk(around.cores.rest, script="cycle.lua", arguments=(str(requests),)), target


def _routes_file(directory: Path, count: int) -> Path:
    path = directory / "routes.yaml"
    routes = [
        {
            "name": f"scale-{number}",
            "path": f"/scale/r{number}/{{item}}",
            "service": "bench",
            "auth": {"methods": ["api_key"]},
            "rate_limit": {"limit": 1_000_000, "per": "second"},
        }
        for number in range(count)
    ]
    path.write_text(json.dumps({"routes": routes}), "utf-8")
    return path


def worker_cores() -> tuple[Cores, str]:
    """Where two workers run and where their load does, and how the report says it."""
    every = [str(core) for core in sorted(os.sched_getaffinity(0))]
    if len(every) >= _MANY_CORES:
        return (
            Cores(",".join(every[:2]), ",".join(every[2:])),
            "The gateway has two cores, load, upstream and Redis have the others.",
        )
    return (
        Cores(",".join(every), ",".join(every)),
        "There are only two cores: gateway, load, upstream and Redis share both at the same nice "
        "level, with one worker and with two. What the load takes, the second worker cannot have: "
        "processor time for each request says what a machine with more cores would do.",
    )


def workers(around: Surroundings, effort: Effort) -> list[Curve]:
    """One worker and two, on the same cores: as the gateway is, and from the sources."""
    return [
        _workers("Workers", "", {}, around, effort),
        _workers(
            "Workers that run the sources",
            " `COMPILED_DATA_PLANE=off`: a worker costs much more than what else there is to do.",
            {"COMPILED_DATA_PLANE": "off"},
            around,
            effort,
        ),
    ]


def _workers(
    title: str, note: str, environment: dict[str, str], around: Surroundings, effort: Effort
) -> Curve:
    cores, said = worker_cores()
    clients = []
    for count in (1, 2):
        name = f"{title.lower().replace(' ', '-')}-{count}"
        own = gateway.new_gateway(around, _FULL, name, environment)
        own.apply()
        target = own.serve(own.new_key(), workers=count, cores=cores.measured)
        check(target)
        clients.append((f"{count} worker{'s' * (count > 1)}", Wrk(cores.rest), target))
    samples = _alternating(clients, effort)
    points = [
        Point(label, samples[label], memory(target.session, target.aside))
        for label, _, target in clients
    ]
    for _, _, target in clients:
        around.processes.stop(target.session)
    return Curve(title, f"Full workload.{note} {said}", points)
