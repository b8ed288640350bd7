"""A small world: one service with two instances and two routes, as a file and as rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from routing import files, revision
from routing.document import Document

ACME = """
services:
  acme:
    instances: [{url: "http://10.0.0.2"}, {url: "http://10.0.0.1", weight: 3}]
    timeout: {connect: 1}
routes:
  - {name: orders, path: "/orders/{id}", service: acme, rate_limit: 100}
  - {name: public, path: /public, service: acme, auth_required: false, methods: [GET]}
"""
GLOBEX = """
services: {globex: {instances: [{url: "http://10.0.1.1"}]}}
routes: [{name: globex, path: /globex, service: globex}]
"""


@pytest.fixture
def acme() -> Document:
    return files.parse([("acme.yaml", ACME)]).document


@pytest.fixture
def globex() -> Document:
    return files.parse([("globex.yaml", GLOBEX)]).document


@pytest.fixture
def published(transactional_db: None, acme: Document) -> Document:
    """The rows of acme, published as revision 1."""
    revision.apply(acme, actor="lead")
    return acme


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a file and gives its name."""

    def written(text: str, name: str = "gateway.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return written
