"""Runs management commands in forks of a process that has loaded Django once.

``python -m tests.support.command_server SOCKET`` is the loader: it imports libraries, listens there
and ends when its standard input does. A connection to it carries one line, a JSON object of
``environment``, ``socket`` and ``log`` (files) and ``loads``, and gets a process that loads Django
in exactly that environment, if it ``loads``, and listens at that socket until the connection ends.
There a connection carries one request, a JSON object of ``arguments``, ``directory``, ``stdout``
and ``stderr`` (files), and is answered with the exit code. Each command is a process of its own
that goes through ``manage.py`` from its first line; what it saves is importing everything. Only
variables that the interpreter itself reads at its start (``PYTHON...``) are those of the loader.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from gateway_project.scheduling import collect_seldom
from tests.support.as_installed import leave_out_requests

_LIBRARIES: Final = (
    "cryptography.hazmat.primitives.serialization", "csp.constants", "csp.middleware",
    "django.contrib.admin.checks", "django.contrib.admin.options",
    "django.contrib.messages.middleware", "django.contrib.sessions.middleware",
    "django.contrib.staticfiles.storage", "django.core.asgi", "django.core.management",
    "django.core.management.commands.makemigrations", "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base", "django.db.migrations.executor", "django.forms",
    "django.middleware.clickjacking", "django.middleware.common", "django.middleware.security",
    "django.views.csrf", "django.views.defaults", "django.views.generic", "environ", "httpx", "jwt",
    "redis.asyncio", "rest_framework.serializers", "sqlparse", "urllib3", "uvicorn",
    "whitenoise.middleware", "yaml",
)  # fmt: skip
"""Those of every command that neither read the environment nor Django's settings."""


def load_libraries() -> None:
    """What is the same in every environment."""
    collect_seldom()
    leave_out_requests()
    for name in _LIBRARIES:
        import_module(name)
    gc.freeze()  # Forks share what is never collected.


def load() -> None:
    """What every command loads, without what it sets up: its logs are its own."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from django.apps import apps
    from django.conf import settings

    apps.populate(settings.INSTALLED_APPS)
    for name in (settings.ROOT_URLCONF, "gateway_project.logs", "manage"):
        import_module(name)
    gc.freeze()


def accepted(listener: socket.socket, life: IO[Any] | socket.socket) -> socket.socket | None:
    """The connection for which this process was forked; ``None`` once *life* ended."""
    while True:
        readable, _, _ = select.select([listener, life], [], [])
        if life in readable:
            life.close()
            _reap(0)
            return None
        connection, _ = listener.accept()
        if os.fork() == 0:
            life.close()
            return connection
        connection.close()
        _reap(os.WNOHANG)


def _reap(options: int) -> None:
    try:
        while os.waitpid(-1, options)[0]:
            pass
    except ChildProcessError:
        return


def _read(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as stream:
        request: dict[str, Any] = json.loads(stream.readline())
    return request


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def serve(life: socket.socket) -> None:
    """In the fork for one environment: load, and answer until *life* ends."""
    asked = _read(life)
    _redirect(stdout=asked["log"], stderr=asked["log"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    if asked["loads"]:
        load()
    with _listening(asked["socket"]) as listener:
        connection = accepted(listener, life)
    if connection is None:
        end(0)
    attend(connection)


def attend(connection: socket.socket) -> None:
    """In the fork for one connection: fork again for the command, answer with how it ended."""
    with connection:
        request = _read(connection)
        command = os.fork()
        if command:
            _, status = os.waitpid(command, 0)
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
    run(request)


def run(request: dict[str, Any]) -> NoReturn:
    """Be ``manage.py`` with these arguments; the process ends with its code."""
    _redirect(stdout=request["stdout"], stderr=request["stderr"])
    os.chdir(request["directory"])
    sys.argv = ["manage.py", *request["arguments"]]
    end(code_of(import_module("manage").main))


def code_of(program: Callable[[], object]) -> int:
    """With which Python would exit after *program*; what it would say of that is said."""
    try:
        program()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        sys.stderr.write(f"{ended.code}\n")
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> NoReturn:
    """Exit like Python, but leave every object where it is: to free all that is shared with other
    forks, it would be copied first.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _redirect(*, stdout: str, stderr: str) -> None:
    for descriptor, name in ((0, os.devnull), (1, stdout), (2, stderr)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND if descriptor else os.O_RDONLY
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)


def main() -> None:
    """Import, listen, fork for each environment."""
    path = Path(sys.argv[1])
    load_libraries()
    with _listening(str(path)) as listener:
        life = accepted(listener, sys.stdin)
    if life is not None:
        serve(life)


if __name__ == "__main__":
    main()
