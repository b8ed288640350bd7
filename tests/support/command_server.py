"""Runs management commands in forks of a process that has loaded Django once.

``python -m tests.support.command_server SOCKET`` listens there until its standard input ends. A
connection carries one request, a JSON object of ``arguments``, ``stdout`` and ``stderr`` (files),
and is answered with the exit code. Each command is a process of its own that goes through
``manage.py`` from its first line; what it saves is importing everything.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def load() -> None:
    """What every command loads, without what it sets up: its logs are its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from django.apps import apps
    from django.conf import settings

    apps.populate(settings.INSTALLED_APPS)
    for name in (settings.ROOT_URLCONF, "gateway_project.logs", "manage"):
        import_module(name)
    gc.freeze()  # Forks share what is never collected.


def serve(listener: socket.socket) -> dict[str, Any] | None:
    """Answer until standard input ends; in the fork that runs a command, returns the request."""
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return None
        connection, _ = listener.accept()
        with connection:
            if os.fork() == 0:
                return _attend(connection)
        _reap()


def _attend(connection: socket.socket) -> dict[str, Any]:
    """In the fork for one connection: fork again for the command, answer with how it ended."""
    with connection.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.readline())
    command = os.fork()
    if command == 0:
        connection.close()
        return request
    _, status = os.waitpid(command, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run(request: dict[str, Any]) -> None:
    """Be ``manage.py`` with these arguments; it ends the process as it does on a shell."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        output = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, descriptor)
        os.close(output)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv = ["manage.py", *request["arguments"]]
    import_module("manage").main()


def main() -> None:
    """Load, listen, serve."""
    path = Path(sys.argv[1])
    load()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        request = serve(listener)
    if request is not None:
        run(request)


if __name__ == "__main__":
    main()
