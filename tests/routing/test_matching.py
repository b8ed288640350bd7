"""Which route wins, by host, priority, specificity and method."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.matching import (
    Entry,
    Match,
    PatternError,
    Result,
    Router,
    compile_pattern,
    host_key,
)
from routing.paths import canonical
from routing.reserved import is_reserved, shadows


def entry(
    path: str,
    *,
    name: str = "",
    hosts: tuple[str, ...] = (),
    methods: tuple[str, ...] = (),
    priority: int = 0,
    merge_slashes: bool = True,
) -> Entry[str]:
    pattern = compile_pattern(path, merge_slashes=merge_slashes)
    label = name or path
    return Entry(label, label, pattern, hosts, frozenset(methods), priority, merge_slashes)


def match(
    entries: list[Entry[str]], path: str, *, method: str = "GET", host: str = "x"
) -> Match[str]:
    return Router.build(entries).match(method, host, canonical(path.encode()))


def winner(
    entries: list[Entry[str]], path: str, *, method: str = "GET", host: str = "x"
) -> str | None:
    found = match(entries, path, method=method, host=host)
    return found.route if found.result is Result.FULL else None


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", "/", True),
        ("/", "/a", False),
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a/", "/a", False),
        ("/a/", "/a/", True),
        ("/a", "/A", False),
        ("/a", "/ab", False),
        ("/a", "/a/b", False),
        ("/a", "/a;x", True),
        ("/a:b", "/a%3ab", True),
        ("/a%2Fb", "/a%2fb", True),
        ("/a%2Fb", "/a/b", False),
        ("/a/{id}", "/a/1", True),
        ("/a/{id}", "/a/", False),
        ("/a/{id}", "/a/1/", False),
        ("/a/{id}", "/a/1/2", False),
        ("/a/{id}", "/a/x%2Fy", True),
        ("/a/{id}/c", "/a/1/c", True),
        ("/{x}", "/", False),
        ("/files/{rest:path}", "/files", False),
        ("/files/{rest:path}", "/files/", True),
        ("/files/{rest:path}", "/files/a", True),
        ("/files/{rest:path}", "/files/a/b/", True),
        ("/files/{rest:path}", "/filesystem/a", False),
        ("/{rest:path}", "/", True),
        ("/{rest:path}", "/a/b", True),
    ],
)
def test_a_pattern_takes_exactly_its_paths(pattern: str, path: str, matches: bool) -> None:
    assert (winner([entry(pattern)], path) is not None) is matches


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "begin with '/'"),
        ("a", "begin with '/'"),
        ("{a}", "begin with '/'"),
        ("/a{b}", "whole segment"),
        ("/{a}b", "whole segment"),
        ("/{a}{b}", "whole segment"),
        ("/{}", "whole segment"),
        ("/{1a}", "whole segment"),
        ("/{a-b}", "whole segment"),
        ("/{é}", "whole segment"),
        ("/{a:int}", "whole segment"),
        ("/{a", "whole segment"),
        ("/a}", "whole segment"),
        ("/{{a}}", "whole segment"),
        ("/{a}/{a}", "name of its own"),
        ("/{a}/b/{a:path}", "name of its own"),
        ("/{a:path}/b", "stand last"),
        ("/a;b", "';"),
        ("/a%3Bb", "';"),
        ("/a?b", r"\?"),
        ("/a#b", "#"),
        ("/a b", "space"),
        ("/é", "non-ASCII"),
        ("/\ud800", "non-ASCII"),
        ("/a%", "escape"),
        ("/a%2f", "empty segment"),
        ("/a%3ab", "canonical form"),
        ("/%61", "canonical form"),
        ("/a//b", "canonical form"),
        ("/a/../b", "canonical form"),
        ("/{a}/.", "canonical form"),
        ("/{a}/..", "canonical form"),
        ("/a/*", r"\* itself is %2A"),
        ("/a/**/b", r"\*\* itself is %2A\*"),
        ("/a/:id", ":id itself is %3Aid"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        compile_pattern(pattern)


def test_parameters_know_where_their_values_stand() -> None:
    pattern = compile_pattern("/a/{id}/{rest:path}")
    segments: tuple[str, ...] = ("a", "1", "x", "y")
    assert segments[pattern.parameters["id"]] == ("1",)
    assert segments[pattern.parameters["rest"]] == ("x", "y")


ORDERED = [
    entry("/z/{rest:path}", name="exact", hosts=("a.b.example.com",), priority=-5),
    entry("/z/y/x", name="deep-wildcard", hosts=("*.b.example.com",)),
    entry("/z/y/x", name="wildcard", hosts=("*.example.com",), priority=9),
    entry("/z/{rest:path}", name="priority", priority=7),
    entry("/z/y/x", name="literal"),
    entry("/z/y/{p}", name="literal-first"),
    entry("/z/y/{rest:path}", name="literal-then-rest"),
    entry("/z/{p}/x", name="parameter-first"),
    entry("/z/{p}/{q}", name="parameters"),
    entry("/z/{p}/{rest:path}", name="parameter-then-rest"),
    entry("/z/{rest:path}", name="rest-a"),
    entry("/z/{rest:path}", name="rest-b"),
]


@pytest.mark.parametrize("count", range(len(ORDERED)))
def test_routes_win_in_the_documented_order_whatever_order_they_come_in(count: int) -> None:
    remaining = ORDERED[count:]
    for entries in (remaining, remaining[::-1]):
        assert winner(entries, "/z/y/x", host="a.b.example.com") == ORDERED[count].name


def test_the_longer_of_two_patterns_wins_where_slashes_decide() -> None:
    entries = [entry("/a", name="a"), entry("/a//", name="z", merge_slashes=False)]
    assert winner([*entries, entry("/a/", name="b")], "/a//") == "z"


@pytest.mark.parametrize(
    "host", ["api.example.com", "API.Example.COM", "api.example.com:8443", "api.example.com."]
)
@pytest.mark.parametrize("others", [2, 299])
def test_host_matching_ignores_case_port_and_trailing_dot(host: str, others: int) -> None:
    entries = [entry("/", name=f"o{n}", hosts=(f"h{n}.example.com",)) for n in range(others)]
    entries.append(entry("/", name="wanted", hosts=("Api.example.com.",)))
    assert winner(entries, "/", host=host) == "wanted"


@pytest.mark.parametrize(
    ("host", "matches"),
    [
        ("a.example.com", True),
        ("a.b.example.com", True),
        ("example.com", False),
        (".example.com", False),
        ("aexample.com", False),
        ("a.example.com.evil", False),
        ("", False),
        ("a." * 200 + "example.com", False),
    ],
)
def test_a_wildcard_takes_one_or_more_labels(host: str, matches: bool) -> None:
    found = winner([entry("/", hosts=("*.example.com",))], "/", host=host)
    assert (found is not None) is matches


@pytest.mark.parametrize(
    ("host", "key"),
    [("[::1]:80", "[::1]"), ("[2001:DB8::1]", "[2001:db8::1]"), ("A.b.:1", "a.b"), ("", "")],
)
def test_a_host_is_compared_by_its_key(host: str, key: str) -> None:
    assert host_key(host) == key


def test_a_route_without_hosts_serves_a_host_that_has_routes_of_its_own() -> None:
    entries = [entry("/a", hosts=("api.example.com",)), entry("/b")]
    assert winner(entries, "/b", host="api.example.com") == "/b"
    assert winner(entries, "/a", host="other") is None


def test_another_method_is_a_partial_match_that_lists_every_method_there_is() -> None:
    entries = [
        entry("/a/{id}", methods=("POST", "GET")),
        entry("/a/b", methods=("PUT",), hosts=("x",)),
        entry("/a/{rest:path}", methods=("DELETE",)),
        entry("/other", methods=("PATCH",)),
        entry("/a/b", methods=("OPTIONS",), hosts=("y",)),
    ]
    found = match(entries, "/a/b", method="PATCH")
    assert found == Match(Result.PARTIAL, "/a/b", ("DELETE", "GET", "HEAD", "POST", "PUT"))


def test_a_wider_route_with_the_method_beats_a_closer_one_without() -> None:
    entries = [
        entry("/a/b", methods=("PUT",), hosts=("x",), priority=9),
        entry("/{rest:path}", methods=("GET",)),
    ]
    assert winner(entries, "/a/b") == "/{rest:path}"


def test_a_path_that_no_route_has_is_no_match() -> None:
    assert match([entry("/a", methods=("GET",))], "/b") == Match(Result.NONE)
    assert match([], "/") == Match(Result.NONE)


def test_a_route_without_methods_takes_any() -> None:
    entries = [entry("/a", name="any"), entry("/a", name="zget", methods=("GET",), priority=1)]
    assert winner(entries, "/a", method="PURGE") == "any"
    assert winner(entries, "/a", method="GET") == "zget"


def test_a_route_behind_one_that_takes_any_method_never_wins() -> None:
    entries = [entry("/a", name="any", priority=1), entry("/a", name="get", methods=("GET",))]
    assert winner(entries, "/a", method="GET") == "any"


def test_get_brings_head_but_head_does_not_bring_get() -> None:
    assert winner([entry("/a", methods=("GET",))], "/a", method="HEAD") == "/a"
    assert winner([entry("/a", methods=("HEAD",))], "/a", method="GET") is None


def test_methods_are_case_sensitive() -> None:
    assert winner([entry("/a", methods=("GET",))], "/a", method="get") is None


def test_a_route_that_keeps_slashes_sees_them() -> None:
    kept = entry("/a/{rest:path}", name="kept", merge_slashes=False)
    exact = entry("/a//b", name="exact", merge_slashes=False)
    assert winner([kept, exact], "/a//b") == "exact"
    assert winner([kept, exact], "/a/b") == "kept"


def test_a_route_that_keeps_slashes_does_not_hide_a_protected_one() -> None:
    protected = entry("/admin/users", name="protected")
    wide = entry("/{rest:path}", name="wide", merge_slashes=False)
    assert winner([protected, wide], "//admin//users") == "protected"


def test_a_route_that_merges_slashes_does_not_pass_one_by_that_keeps_them() -> None:
    protected = entry("/admin/{user}", name="protected", hosts=("a.example",), merge_slashes=False)
    wide = entry("/{rest:path}", name="wide")
    assert winner([protected, wide], "//admin/1", host="a.example") == "protected"
    assert winner([protected, wide], "/admin//1/", host="a.example") == "wide"
    assert winner([protected], "//admin/1", host="a.example") is None


segment = st.sampled_from(["a", "b", "{p}", "{q}"])
patterns = st.builds(
    lambda parts, rest: "/" + "/".join([*dict.fromkeys(parts), *rest]),
    st.lists(segment, max_size=3),
    st.sampled_from([[], ["{rest:path}"], [""]]),
)


@given(
    st.lists(st.tuples(patterns, st.integers(0, 1), st.sampled_from(["", "GET", "PUT"]))),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=4),
)
def test_the_trie_agrees_with_trying_every_route(
    routes: list[tuple[str, int, str]], parts: list[str]
) -> None:
    entries = [
        entry(path, name=f"{place:03}", methods=(method,) if method else (), priority=priority)
        for place, (path, priority, method) in enumerate(routes)
    ]
    alone = [each for each in entries if winner([each], "/" + "/".join(parts))]
    alone.sort(key=lambda each: (-each.priority, each.pattern.specificity, each.name))
    assert winner(entries, "/" + "/".join(parts)) == (alone[0].name if alone else None)


def test_a_search_visits_no_node_twice_however_patterns_branch() -> None:
    choices = itertools.product("ab", repeat=8)
    entries = [
        entry("/" + "/".join(f"{{p{n}}}" if c == "a" else "x" for n, c in enumerate(each)))
        for each in choices
    ]
    leaves = Router.build(entries)._anywhere.find(canonical(b"/x" * 8))
    assert len(leaves) == len({id(leaf) for leaf in leaves}) == 256


RESERVED = [
    "/health",
    "/ready",
    "/metrics",
    "/auth/token",
    "/auth/refresh",
    "/auth/revoke",
    "/.well-known/jwks.json",
    "/admin",
    "/admin/",
    "/admin/static/x.css",
    "/api/gateway",
    "/api/gateway/routes/",
]


@pytest.mark.parametrize("path", [*RESERVED, "/admin;x/users", "/health;x", "/health%3Bx"])
def test_the_gateway_keeps_its_own_paths(path: str) -> None:
    assert is_reserved(path)


@pytest.mark.parametrize(
    "path",
    ["/", "/healthy", "/health/", "/Health", "/auth", "/auth/tokens", "/administrator", "/api",
     "/api/gateways", "/x/admin", "/.well-known/other"],
)  # fmt: skip
def test_neighbours_of_its_paths_are_free(path: str) -> None:
    assert not is_reserved(path)
    assert not shadows(path)


@pytest.mark.parametrize(
    "pattern",
    [*RESERVED, "/admin/{rest:path}", "/admin/{x}/y", "/api/gateway/{x}", "//admin/x"],
)
def test_a_pattern_that_names_a_reserved_path_is_a_shadow(pattern: str) -> None:
    assert shadows(pattern)


@pytest.mark.parametrize("pattern", ["/{rest:path}", "/{x}", "/auth/{x}", "/api/{x}", "/{x}/y"])
def test_a_pattern_that_only_could_match_one_is_none(pattern: str) -> None:
    assert not shadows(pattern)
