"""The commands of CONTRACT §1: what they print, where, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from django.core.management import CommandError, call_command

from routing.document import Document
from routing.models import Revision, Route, Service
from tests.revision.conftest import ACME, GLOBEX

pytestmark = pytest.mark.django_db(transaction=True)
Write = Callable[..., str]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_apply_prints_the_diff_and_the_revision(write: Write) -> None:
    printed = run("apply", write(ACME))
    assert "+ service acme\n" in printed
    assert '    path: "/public"\n' in printed
    assert printed.endswith("3 added; published revision 1.\n")
    assert run("apply", write(ACME)) == "No changes.\n"


def test_apply_takes_several_files_as_one(write: Write) -> None:
    run("apply", write(ACME, "a.yaml"), write(GLOBEX, "b.yaml"))
    assert Revision.objects.count() == 1
    assert Route.objects.count() == 3


def test_a_dry_run_with_changes_exits_2_and_without_0(published: Document, write: Write) -> None:
    with pytest.raises(SystemExit) as caught:
        run("apply", "--dry-run", write(GLOBEX))
    assert caught.value.code == 2
    assert not Service.objects.filter(name="globex").exists()
    assert run("apply", "--dry-run", write(ACME)) == "No changes.\n"


def test_apply_as_json_has_the_fields_before_and_after(published: Document, write: Write) -> None:
    text = ACME.replace("rate_limit: 100", "rate_limit: 50").replace("weight: 3", "weight: 4")
    printed = json.loads(run("apply", "--format", "json", write(text)))
    assert printed["revision"] == 2
    assert printed["changes"] == [
        {
            "action": "changed",
            "kind": "service",
            "name": "acme",
            "fields": {"instances[http://10.0.0.1].weight": [3, 4]},
        },
        {
            "action": "changed",
            "kind": "route",
            "name": "orders",
            "fields": {"rate_limit": [[{"limit": 100}], [{"limit": 50}]]},
        },
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1,\n b: }", "gateway.yaml: line 2, column 5: "),
        ("routes: [{path: /a, service: s}]", "gateway.yaml: routes[0] (a).service: "),
        ("routes: [{path: /a, service: s, x: 1}]", "gateway.yaml: routes[0] (/a).x: unknown key"),
    ],
)
def test_a_bad_file_is_named_with_path_and_reason(write: Write, text: str, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        run("apply", write(text))
    assert message in str(caught.value)
    assert caught.value.returncode == 1
    assert not Revision.objects.exists()


def test_a_bad_file_as_json_lists_its_faults(write: Write) -> None:
    out = StringIO()
    path = write("routes: [{path: /a, service: s, x: 1}]")
    with pytest.raises(CommandError):
        call_command("apply", path, format="json", stdout=out)
    printed = json.loads(out.getvalue())
    (fault,) = printed["errors"]
    assert fault["file"] == path
    assert fault["path"] == "routes[0] (/a).x"
    assert fault["reason"].startswith("unknown key")
    assert (printed["revision"], printed["changes"]) == (None, [])


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_route_without_effect_is_applied_with_a_warning(write: Write, form: str) -> None:
    run("apply", write("services: {s: {}}\nroutes: [{name: a, path: '/x/{b}', service: s}]"))
    out, err = StringIO(), StringIO()
    path = write("routes: [{name: z, path: '/x/{c}', service: s}]")
    call_command("apply", path, format=form, stdout=out, stderr=err)
    reason = "is never reached: a takes the same requests and comes first by name"
    assert f"Warning: {path}: routes[0] (z): {reason}" in err.getvalue()
    if form == "json":
        [warning] = json.loads(out.getvalue())["warnings"]
        assert warning == {"file": path, "path": "routes[0] (z)", "reason": reason}


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(ACME.encode())))
    assert run("apply", "-").endswith("3 added; published revision 1.\n")


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_export_applied_to_an_empty_database_exports_the_same(write: Write, form: str) -> None:
    run("apply", write(ACME), write(GLOBEX, "b.yaml"))
    exported = run("export", "--format", form)
    Route.objects.all().delete()
    Service.objects.all().delete()
    run("apply", write(exported, f"export.{form}"))
    assert run("export", "--format", form) == exported


def test_an_empty_database_exports_what_can_be_applied(write: Write) -> None:
    exported = run("export")
    assert exported == "services: {}\nroutes: []\n"
    assert run("apply", write(exported)).startswith("No changes.")


def test_revisions_are_listed_newest_first_with_the_current_marked(
    published: Document, write: Write
) -> None:
    run("apply", write(GLOBEX))
    first, second = run("revisions").splitlines()
    assert first.startswith("*     2  ")
    assert second.startswith("      1  ")
    assert "apply gateway.yaml" in first


def test_revisions_that_are_not_listed_are_counted(published: Document, write: Write) -> None:
    run("apply", write(GLOBEX))
    out, err = StringIO(), StringIO()
    call_command("revisions", limit=1, stdout=out, stderr=err)
    assert len(out.getvalue().splitlines()) == 1
    assert err.getvalue() == "1 older ones are kept too; --limit N lists more.\n"


def test_rollback_says_what_it_made(published: Document, write: Write) -> None:
    run("apply", "--prune", write(GLOBEX))
    assert run("rollback", "1") == "Restored revision 1 as revision 3.\n"
    assert run("rollback", "3") == "Revision 3 is what is published already.\n"
    with pytest.raises(CommandError, match="does not exist"):
        run("rollback", "99")


def test_publish_without_changes_says_so(published: Document) -> None:
    assert run("publish") == "Nothing to publish.\n"


def test_the_demo_fixture_loads_and_compiles(write: Write) -> None:
    run("loaddata", "demo")
    (stored,) = Revision.objects.all()
    assert stored.faults == 0
    assert Route.objects.count() == 8
    assert "rate_limit: 100" in run("export")
