"""After a run nothing that is kept or shown holds a credential that was used in it."""

from __future__ import annotations

import base64
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from django.contrib import admin as admin_site

from gateway_project.node_variables import LOG_TYPES
from tests.keys import forge
from tests.support.process import PASSWORD, GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, ask, code

pytestmark = pytest.mark.timeout(240)

WRONG_PASSWORD = "incorrect zebra charger paperclip"
API_LISTS = ["consumers/", "api-keys/", "services/", "routes/", "revisions/", "audit-entries/"]
API_PAGES = [
    *API_LISTS, "", "plans/", "breakers/", "revisions/current/", "rate-limit-records/", "usage/",
    "audit-entries/?page_size=1000", "export/", "schema/", "docs/",
]  # fmt: skip
NOT_ASKED = r"/static/|/logout/|/jsi18n/|/auditentry/\d+/history/"
BAD_KEY = "gw_" + "Zx9" * 14 + "Q"
FOREIGN_KEY = "sk-of-another-system-0123456789abcdef"


@dataclass
class Run:
    """A gateway after everything was done to it, and the credentials that were used."""

    gateway: GatewayProcess
    directory: Path
    admin: httpx.Client
    secrets: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    """Every page of the admin and the API by its URL."""
    metrics: str = ""


def sign_in(admin: httpx.Client, password: str) -> httpx.Response:
    admin.get("/admin/login/")
    token = admin.cookies["csrftoken"]
    fields = {"username": "ops", "password": password, "csrfmiddlewaretoken": token}
    return admin.post("/admin/login/", data=fields)


def post(admin: httpx.Client, path: str, fields: dict[str, str]) -> str:
    token = {"csrfmiddlewaretoken": admin.cookies["csrftoken"]}
    return admin.post(path, data={**fields, **token}).text


def issued(page: str) -> str:
    found = re.search(r'id="issued-key">([^<]+)<', page)
    assert found, page
    return found[1]


def call_with(run: Run) -> None:
    """Every way of offering every kind of credential to the data plane, good and bad."""
    gateway, secrets = run.gateway, run.secrets
    secrets["key"] = gateway.key("acme")
    secrets["good token"] = forge.signed(
        forge.HEADER, forge.CLAIMS, gateway.environment["JWT_SECRET_KEY"].encode()
    )
    secrets["bad token"] = forge.signed(forge.HEADER, forge.CLAIMS, b"another secret")
    secrets |= {"bad key": BAD_KEY, "foreign key": FOREIGN_KEY}
    assert code(ask(gateway, secrets["key"])) == "ok"
    for text in (*secrets.values(), f"{secrets['key']}x", "a\tb"):
        ask(gateway, text)
        gateway.request("GET", "/keyed", f"Authorization: Bearer {text}")
        gateway.request("GET", f"/keyed?api_key={text}&access_token={text}")
        gateway.request("GET", "/keyed", f"Authorization: Basic {text}", f"Cookie: session={text}")
        gateway.request("GET", "/keyed", f"X-API-Key: {text}", f"X-API-Key: {text}")
        gateway.request("GET", "/admin/", f"X-API-Key: {text}", f"Authorization: Bearer {text}")
    gateway.request("GET", "/keyed", f"Authorization: Bearer {secrets['good token']}")


def manage_with(run: Run) -> None:
    """Sign in wrongly and rightly, make, rotate and revoke keys in the admin."""
    admin, secrets = run.admin, run.secrets
    secrets |= {"password": PASSWORD, "wrong password": WRONG_PASSWORD}
    sign_in(admin, WRONG_PASSWORD)
    assert sign_in(admin, PASSWORD).status_code == 302
    secrets["session"] = admin.cookies["gateway_session"]
    number = re.search(r"consumer/(\d+)/change", admin.get("/admin/keys/consumer/").text)
    assert number
    made = post(admin, "/admin/keys/apikey/add/", {"consumer": number[1], "enabled": "on"})
    secrets["made in the admin"] = issued(made)
    key = re.search(r"apikey/(\d+)/change", made)
    assert key
    rotated = post(admin, "/admin/keys/apikey/", {"action": "rotate", "_selected_action": key[1]})
    secrets["rotated in the admin"] = issued(rotated)
    for name in ("made in the admin", "rotated in the admin"):
        assert code(ask(run.gateway, secrets[name])) == "ok"
    run.gateway.manage("revoke_api_key", secrets["key"][:12])
    admin.get("/api/gateway/routes/", auth=("ops", WRONG_PASSWORD))


def manage_by_api(run: Run) -> None:
    """Make, rotate and revoke keys over the REST API, and read all of it."""
    api, login = run.admin, ("ops", PASSWORD)
    run.secrets["Basic login"] = base64.b64encode(f"ops:{PASSWORD}".encode()).decode()
    made = api.post("/api/gateway/api-keys/", json={"consumer": "acme"}, auth=login).json()
    path = f"/api/gateway/api-keys/{made['id']}/"
    rotated = api.post(f"{path}rotate/", json={}, auth=login).json()
    run.secrets |= {"made by the API": made["key"], "rotated by the API": rotated["key"]}
    for name in ("made by the API", "rotated by the API"):
        assert code(ask(run.gateway, run.secrets[name])) == "ok"
    api.post(f"{path}revoke/", auth=login)
    run.pages |= {str(page.url): page.text for page in api_pages(api)}


def api_pages(api: httpx.Client) -> Iterator[httpx.Response]:
    """Every list of the REST API, the objects in it, its schema and its documentation.

    One of ``API_PAGES`` has the audit entries whole, so they are not asked for one by one.
    """
    for path in API_PAGES:
        page = api.get(f"/api/gateway/{path}")
        assert page.status_code == 200, page.text
        yield page
        rows = page.json().get("results", []) if path in API_LISTS else []
        for one in rows[:20] if path != "audit-entries/" else rows[:1]:
            name = next(one[key] for key in ("number", "id", "name") if key in one)
            yield api.get(f"/api/gateway/{path}{name}/")


def issue_tokens(run: Run) -> None:
    """Sign in wrongly and rightly, refresh, use a spent token again, revoke."""

    def post(path: str, **content: str) -> httpx.Response:
        return run.admin.post(path, json=content)

    post("/auth/token", username="ops", password=WRONG_PASSWORD)
    first = post("/auth/token", username="ops", password=PASSWORD).json()
    second = post("/auth/refresh", refresh=first["refresh"]).json()
    for number, pair in enumerate((first, second)):
        run.secrets |= {f"{kind} {number}": pair[kind] for kind in ("access", "refresh")}
        run.gateway.request("GET", "/keyed", f"Authorization: Bearer {pair['access']}")
    assert post("/auth/refresh", refresh=first["refresh"]).status_code == 401
    run.gateway.request("GET", "/keyed", f"Authorization: Bearer {second['access']}")
    assert post("/auth/revoke", refresh=second["refresh"]).status_code == 204


def admin_pages(admin: httpx.Client) -> Iterator[httpx.Response]:
    """Every page that can be reached by links from the index, each once.

    Of audit entries, which nobody edits, the history is empty and is not asked for.
    """
    seen, waiting = {"/admin/"}, ["/admin/"]
    while waiting:
        page = admin.get(waiting.pop())
        yield page
        for link in re.findall(r'href="(/admin/[^"#?]*)["?]', page.text):
            if link not in seen and not re.search(NOT_ASKED, link):
                seen.add(link)
                waiting.append(link)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream) -> Run:
    _upstream.reset()
    directory = tmp_path_factory.mktemp("secrets")
    logs = {"LOG_LEVEL": "debug", "LOG_DIRECTORY": str(directory / "logs")}
    gateway = new_gateway(directory, logs)
    gateway.apply(CONFIGURATION.format(url=_upstream.url))
    gateway.add_operator()
    with (
        gateway.serving(),
        httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", timeout=30) as admin,
    ):
        done = Run(gateway, directory, admin)
        call_with(done)
        issue_tokens(done)
        manage_with(done)
        manage_by_api(done)
        done.pages |= {
            str(page.url): page.text for page in admin_pages(admin) if page.status_code == 200
        }
        done.metrics = gateway.request("GET", "/metrics").body.decode()
    # Stopped, so that its logs and its database are complete.
    return done


def held(run: Run, text: str) -> list[str]:
    """Names of the credentials that *text* holds, the unknown part of a key alone included."""
    return [
        name
        for name, secret in run.secrets.items()
        if secret in text or (secret.startswith("gw_") and secret[12:] in text)
    ]


def test_no_page_shows_one(run: Run) -> None:
    """Whoever could not open a page has not looked: every model of ours is among them."""
    opened = " ".join(run.pages)
    for model in admin_site.site._registry:
        assert f"/admin/{model._meta.app_label}/{model._meta.model_name}/" in opened
    shown = {url: held(run, text) for url, text in run.pages.items()}
    assert {url: names for url, names in shown.items() if names} == {}


def test_metrics_show_none(run: Run) -> None:
    assert "gateway_authentications_total" in run.metrics
    assert held(run, run.metrics) == []


def test_the_database_holds_none(run: Run) -> None:
    with sqlite3.connect(run.directory / "var" / "gateway.sqlite3") as connection:
        dump = "\n".join(connection.iterdump())
    connection.close()
    assert "api_keys" in dump
    for action in ("key.rotated", "token.reused", "login.failed", "credential.refused"):
        assert action in dump
    assert held(run, dump) == []


def test_what_lies_in_the_directories_holds_none(run: Run) -> None:
    logs = {path.name: path.read_text() for path in (run.directory / "logs").glob("*.log")}
    assert set(logs) == {f"{name}.log" for name in LOG_TYPES}
    assert all(logs.values())
    files = [path for path in run.directory.rglob("*") if path.is_file()]
    found = {path.name: held(run, path.read_bytes().decode("latin-1")) for path in files}
    assert {name: secrets for name, secrets in found.items() if secrets} == {}
