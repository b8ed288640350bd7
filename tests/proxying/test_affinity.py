"""What ties a request to an instance is read off the request, and shows a client no address."""

from __future__ import annotations

from proxying import affinity
from tests.proxying.plans import URLS, exchange


def test_a_cookie_is_found_by_its_whole_name() -> None:
    headers = [(b"cookie", b"xstay=1; stay=2; stays=3"), (b"cookie", b"stay=4")]
    assert affinity.cookie(headers, b"stay") == b"2"
    assert affinity.cookie(headers, b"tay") == b""


def test_each_subject_is_read_where_it_stands() -> None:
    asked = exchange((b"x-tenant", b"acme"), (b"cookie", b"who=globex"), client="192.0.2.9")
    subjects = ("caller", "ip", "header:X-Tenant", "cookie:who", "header:X-None")
    assert [affinity.hash_key(one)(asked) for one in subjects] == [
        b"192.0.2.9", b"192.0.2.9", b"acme", b"globex", b"",
    ]  # fmt: skip


def test_a_mark_is_of_one_instance_and_names_no_address() -> None:
    marks = {affinity.mark("s", url) for url in URLS}
    assert len(marks) == len(URLS)
    assert not any(b"10.0.0" in mark for mark in marks)


def test_the_cookie_is_secure_where_the_connection_is() -> None:
    _, plain = affinity.set_cookie("stay", b"x", "http")
    _, secure = affinity.set_cookie("stay", b"x", "https")
    assert plain == b"stay=x; Path=/; HttpOnly; SameSite=Lax"
    assert secure == plain + b"; Secure"
