"""``make run``: the gateway with demo data, four demo backends, a login and a key that work.

Runs inside ``.venv``. Starts two processes, each in a session of its own, and stops both, with
everything they started, on Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from gateway_project.env import Settings

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
KEY_NAME = "make run"
sys.path.insert(0, str(PROJECT))


def main() -> None:
    """Prepare, start, tell, wait, stop."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.chdir(PROJECT)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        settings = read_settings()
        refuse_taken_ports(settings)
        lines = prepare(settings)
        processes.append(_start("-m", "demo.backends"))
        processes.append(_start("manage.py", "serve"))
        _wait_until_ready(processes, settings.listen_port)
        print("\n".join(lines), flush=True)
        _wait_for_an_end(processes)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    finally:
        _stop(processes)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def read_settings() -> Settings:
    """The settings; the first time, a file with random secrets is written for them."""
    from gateway_project import env_files
    from gateway_project.declaring import SettingsError
    from gateway_project.env import get_settings

    try:
        if not (os.environ.get("ENV_FILE") or env_files.environments_with_a_file()):
            print(f"wrote {env_files.create('default')}: settings with random secrets")
        os.environ.setdefault("LOG_FORMAT", "text")
        return get_settings()
    except SettingsError as error:
        sys.exit(str(error))


def refuse_taken_ports(settings: Settings) -> None:
    """Exit before anything is changed: what answers there would not be what this starts."""
    from demo.backends import FIRST_PORT, SERVICES

    backends = [("127.0.0.1", FIRST_PORT + index) for index in range(len(SERVICES))]
    for host, port in [(settings.listen_host, settings.listen_port), *backends]:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            remedy = ", or set PORT" if port == settings.listen_port else ""
            sys.exit(f"port {port}: {error.strerror}. Stop what listens there{remedy}.")


def prepare(settings: Settings) -> list[str]:
    """Tables, demo rows, login and key. Returns what to tell the user."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    from routing.models import Route

    if not Route.objects.exists():
        call_command("loaddata", "demo", verbosity=0)
    password = _admin_password(settings.var_directory / "demo-password")
    return _told(f"http://127.0.0.1:{settings.listen_port}", password, _demo_key())


def _admin_password(file: Path) -> str:
    """The password of user ``admin``, made once and kept beside the demo's database."""
    from django.contrib.auth.models import User

    user, created = User.objects.get_or_create(
        username="admin", defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        password = secrets.token_urlsafe(12)
        user.set_password(password)
        user.save(update_fields=["password"])
        file.touch(mode=0o600)
        file.write_text(password, "utf-8")
        return password
    kept = file.read_text("utf-8") if file.is_file() else ""
    return kept if kept and user.check_password(kept) else "(the one you set)"


def _demo_key() -> str:
    """A new key of consumer ``demo``; the one of the start before is revoked."""
    from django.core.management import call_command

    from keys.models import ApiKey

    ApiKey.objects.filter(consumer__name="demo", name=KEY_NAME, revoked_at=None).revoke()
    output = io.StringIO()
    call_command("create_api_key", "demo", name=KEY_NAME, json=True, stdout=output)
    key: str = json.loads(output.getvalue())["key"]
    return key


def _told(url: str, password: str, key: str) -> list[str]:
    return [
        "",
        f"  admin    {url}/admin/   user admin, password {password}",
        f"  API key  {key}",
        "",
        *(
            f"  curl -H 'X-API-Key: {key}' {url}{path}"
            for path in ("/projects", "/ecs", "/dashboard")
        ),
        "",
        "  Ctrl-C stops everything.",
        "",
    ]


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches this process alone, which then stops the others in order.
    return subprocess.Popen([sys.executable, *arguments], start_new_session=True)


def _wait_until_ready(processes: list[subprocess.Popen[bytes]], port: int) -> None:
    url = f"http://127.0.0.1:{port}/ready"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                sys.exit(f"{process.args!r} ended with code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"{url} did not answer 200 within {START_SECONDS} s")


def _wait_for_an_end(processes: list[subprocess.Popen[bytes]]) -> None:
    while all(process.poll() is None for process in processes):
        time.sleep(0.2)


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End the processes and all they started; a second Ctrl-C does not wait for them."""
    for process in reversed(processes):
        # As from a keyboard: no time is lost for balancers to notice.
        _signal_session(process, signal.SIGINT)
    try:
        for process in processes:
            process.wait(START_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    for process in processes:
        _signal_session(process, signal.SIGKILL)
        process.wait()


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    main()
