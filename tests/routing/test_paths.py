"""Every spelling of a path is that path or is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.errors import BadPath
from routing.paths import canonical

PROTECTED = "/admin/users"

SAME_PATH = [
    b"/admin/users",
    b"//admin/users",
    b"/admin//users",
    b"///admin////users",
    b"/./admin/users",
    b"/admin/./users",
    b"/x/../admin/users",
    b"/x/y/../../admin/users",
    b"/../admin/users",
    b"/../../../admin/users",
    b"/admin/x/../users",
    b"//x//../admin/users",
    b"/admin/%2e/users",
    b"/x/%2e%2e/admin/users",
    b"/x/%2E%2e/admin/users",
    b"/x/.%2e/admin/users",
    b"/x/%2e./admin/users",
    b"/%61dmin/users",
    b"/%61%64%6d%69%6e/%75sers",
    b"/%61%64%6D%69%6E/users",
]

REFUSED = [
    b"",
    b"admin/users",
    b"*",
    b"http://x/admin/users",
    b"\\admin\\users",
    b"/admin\\users",
    b"/x\\..\\admin/users",
    b"/admin/users\x00",
    b"/admin/users\x00.png",
    b"/admin/users\t",
    b"/admin/users\r\n",
    b"/admin/users ",
    b"/admin/users\x7f",
    b"/admin/us\xc3\xa9rs",
    b"/admin/users#",
    b"/admin/users?x",
    b"/%",
    b"/admin%2/users",
    b"/admin%zz/users",
    b"/admin/users%",
    b"/admin/%u002e%u002e/users",
    b"/admin/users%00",
    b"/admin/users%0a",
    b"/admin/users%0D%0AX:1",
    b"/admin/users%1F",
    b"/admin/users%7f",
    b"/x/%c0%ae%c0%ae/admin/users",
    b"/x%c0%afadmin/users",
    b"/x%C1%9cadmin/users",
    b"/x%e0%80%afadmin/users",
    b"/x%E0%9F%BFadmin",
    b"/x%f0%80%80%afadmin/users",
    b"/x%F0%8F%BF%BFadmin",
    b"/x%f8%80%80%80%afadmin/users",
    b"/x%fc%80%80%80%80%afadmin/users",
    b"/x/..;/admin/users",
    b"/x/..;a=b/admin/users",
    b"/x/.;/admin/users",
    b"/x/.;a/admin/users",
    b"/x/%2e%2e;/admin/users",
    b"/x/%2e%2e;a/admin/users",
    b"/x/..%3b/admin/users",
    b"/x/..%3Ba/admin/users",
    b"/x/%2e%2e%3b/admin/users",
    b"/x/.%3b/admin/users",
    b"/;/admin/users",
    b"/;x/admin/users",
    b"/admin/;x/users",
    b"/admin/%3bx/users",
    b"/admin/users/;",
    b"/x/..%2fadmin/users",
    b"/x/..%2Fadmin%2fusers",
    b"/x/%2e%2e%2fadmin/users",
    b"/x/..%5cadmin/users",
    b"/x/%2e%2e%5Cadmin/users",
    b"/x/a%2f..%2f..%2fadmin/users",
    b"/x/a%2f..;y%2fadmin/users",
    b"/x/a%2f..%3by%2fadmin/users",
    b"/x;y%2f..%2f..%2fadmin/users",
    b"/%2fadmin/users",
    b"/%5cadmin/users",
    b"/admin%2f/users",
    b"/admin%2f%2fusers",
    b"/admin%2f;x%2fusers",
    b"/x/.%2fadmin/users",
    b"/%2f",
]

KEPT = [
    b"/",
    b"/a/",
    b"/a/b.c/...",
    b"/.well-known/x",
    b"/a..b/..c/d..",
    b"/a%20b",
    b"/caf%C3%A9",
    b"/a%2Fb",
    b"/a%5Cb",
    b"/a%3Fb%23c%25",
    b"/%252e%252e/x",
    b"/%25%2F25",
    b"/a;v=1/b;w",
    b"/a;..;/b",
    b"/a;b=..",
    b"/a:b@c,d=e+f!$&'()*~_-",
    b"/a%3Ab",
    b'/"<>[]^`{|}',
]


@pytest.mark.parametrize("raw", SAME_PATH)
def test_a_disguised_spelling_becomes_the_path_it_means(raw: bytes) -> None:
    path = canonical(raw)
    assert path.text == PROTECTED
    assert path.segments == path.raw_segments == ("admin", "users")


@pytest.mark.parametrize("raw", REFUSED)
def test_an_ambiguous_spelling_is_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(BadPath, match="path"):
        canonical(raw)


@pytest.mark.parametrize("raw", KEPT)
def test_a_canonical_path_is_forwarded_as_it_came(raw: bytes) -> None:
    assert canonical(raw).text.encode() == raw


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a%2fb%5cc%3f", "/a%2Fb%5Cc%3F"),
        (b"/%7euser/%41%2D%5f%2e", "/~user/A-_."),
        (b"/caf%c3%a9", "/caf%C3%A9"),
        (b"/%252E%25%32%65", "/%252E%252e"),
        (b"/a/.", "/a/"),
        (b"/a/..", "/"),
        (b"/a/b/..", "/a/"),
        (b"/..", "/"),
        (b"/.", "/"),
        (b"//", "/"),
        (b"/a//", "/a/"),
        (b"/a//../b", "/b"),
    ],
)
def test_other_spellings_are_normalised(raw: bytes, text: str) -> None:
    assert canonical(raw).text == text


@pytest.mark.parametrize("raw", [b"/admin;x/users", b"/admin;x=1;y/users;z", b"/admin%3bx/users"])
def test_parameters_are_ignored_for_matching_and_forwarded(raw: bytes) -> None:
    path = canonical(raw)
    assert path.segments == ("admin", "users")
    assert path.text == raw.decode().replace("%3b", "%3B")


def test_an_escaped_slash_stays_inside_its_segment() -> None:
    assert canonical(b"/files/a%2fb/c").segments == ("files", "a%2Fb", "c")


@pytest.mark.parametrize("mark", "!\"$&'()*+,:<=>@[]^`{|}")
def test_an_escaped_punctuation_mark_is_matched_as_the_mark(mark: str) -> None:
    escaped = f"/v1/jobs%{ord(mark):02x}run".encode()
    assert canonical(escaped).segments == canonical(f"/v1/jobs{mark}run".encode()).segments
    assert canonical(escaped).text == f"/v1/jobs%{ord(mark):02X}run"


@pytest.mark.parametrize("escape", ["%20", "%23", "%25", "%2F", "%3F", "%5C", "%C3%A9"])
def test_an_escape_that_cannot_stand_raw_stays_one(escape: str) -> None:
    assert canonical(f"/a{escape}b".encode()).segments == (f"a{escape}b",)


def test_repeated_slashes_are_at_hand_for_routes_that_keep_them() -> None:
    path = canonical(b"/a//./b//../c")
    assert path.text == "/a/c"
    assert path.unmerged is not None
    assert path.unmerged.text == "/a//b/c"
    assert path.unmerged.segments == ("a", "", "b", "c")
    assert path.variant(merge_slashes=False) is path.unmerged
    assert path.variant(merge_slashes=True) is path


def test_a_path_without_repeated_slashes_has_one_variant() -> None:
    path = canonical(b"/a/./b")
    assert path.unmerged is None
    assert path.variant(merge_slashes=False) is path


paths = st.lists(
    st.one_of(
        st.sampled_from(
            [b"/", b"/", b".", b"..", b";", b"%2e", b"%2F", b"%5c", b"%3b", b"%25", b"%3a", b"%C3"]
        ),
        st.sampled_from([b"a", b"Z", b"-", b"~", b":", b"2", b"e", b"{", b"//", b"%80", b"%41"]),
        st.binary(min_size=1, max_size=2),
    ),
    max_size=14,
).map(lambda pieces: b"/" + b"".join(pieces))


@given(paths)
@example(b"/a//..")
@example(b"/%25%32%65")
def test_canonical_is_idempotent(raw: bytes) -> None:
    try:
        path = canonical(raw)
    except BadPath:
        return
    again = canonical(path.text.encode())
    assert (again.text, again.segments, again.raw_segments) == (
        path.text,
        path.segments,
        path.raw_segments,
    )
    if path.unmerged is not None:
        kept = canonical(path.unmerged.text.encode())
        assert kept.variant(merge_slashes=False).text == path.unmerged.text


@given(paths)
def test_no_reading_of_a_canonical_path_leaves_its_segments(raw: bytes) -> None:
    try:
        path = canonical(raw)
    except BadPath:
        return
    assert re.fullmatch(r"/[!-~]*", path.text)
    assert not re.search(r"[\\#?]|//", path.text)
    decoded = re.sub("%2F|%5C", "/", path.text).replace("%3B", ";")
    names = [re.sub(";.*", "", piece) for piece in decoded[1:].split("/")]
    assert not {".", ".."}.intersection(names)
    assert "" not in names[:-1]


def test_a_long_hostile_path_is_judged_in_linear_time() -> None:
    path = canonical(b"/a" + b"/%2e%2e" * 1000 + b"/%61;x" * 1000)
    assert path.segments == ("a",) * 1000
