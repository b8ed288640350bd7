"""Which data plane a process runs: the sources, or what was compiled of exactly these sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from gateway_project import compiled
from gateway_project.compiled import MODULES, State, fingerprint, install, source_of, stamp_file
from gateway_project.declaring import SettingsError
from gateway_project.env_files import PROJECT_DIRECTORY

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def stamped(directory: Path, stamp: str) -> Path:
    stamp_file(directory).write_text(stamp, encoding="ascii")
    return directory


def test_what_is_not_compiled_runs_from_the_sources(tmp_path: Path) -> None:
    assert install("auto", tmp_path) is State.NOT_COMPILED


def test_what_was_compiled_of_other_sources_is_out_of_date(tmp_path: Path) -> None:
    directory = stamped(tmp_path, fingerprint()[::-1])
    assert compiled.state(directory) is State.OUT_OF_DATE
    assert install("auto", directory) is State.OUT_OF_DATE


def test_what_was_compiled_of_these_sources_may_run_and_may_be_kept_from_it(tmp_path: Path) -> None:
    directory = stamped(tmp_path, fingerprint())
    assert compiled.state(directory) is State.COMPILED
    assert install("off", directory) is State.OFF


@pytest.mark.parametrize(("stamp", "why"), [("", "none"), ("old", "out of date")])
def test_required_and_not_there_refuses_the_start(tmp_path: Path, stamp: str, why: str) -> None:
    if stamp:
        stamped(tmp_path, stamp)
    with pytest.raises(
        SettingsError, match=f"COMPILED_DATA_PLANE=required: run `make native`.*{why}"
    ):
        install("required", tmp_path)


def test_a_process_has_all_of_it_or_none(tmp_path: Path) -> None:
    """This process has imported the sources already."""
    import proxying.gateway

    assert proxying.gateway.__name__ in MODULES
    with pytest.raises(RuntimeError, match=r"imported too early: .*proxying\.gateway"):
        install("auto", stamped(tmp_path, fingerprint()))


def test_what_a_worker_imports_before_its_settings_is_not_compiled() -> None:
    """A process of ``serve`` finds the supervisor's modules before it knows what it runs."""
    code = "import sys, gateway_project.serving; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_DIRECTORY, capture_output=True, check=True
    )
    assert not set(found.stdout.decode().split()) & set(MODULES)


def _functions(module: str) -> list[_Function]:
    tree = ast.parse(source_of(module).read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, _Function)]


@pytest.mark.parametrize("module", MODULES)
def test_no_name_stands_for_two_kinds_of_failure(module: str) -> None:
    """mypyc gives a name one type in a function: a second one raises ``TypeError`` there."""
    for function in _functions(module):
        handlers = [n for n in ast.walk(function) if isinstance(n, ast.ExceptHandler) and n.name]
        for one, other in pairwise(sorted(handlers, key=lambda handler: handler.name or "")):
            if one.name == other.name:
                assert ast.dump(one.type or one) == ast.dump(other.type or other), function.name


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_awaited_while_a_failure_is_handled(module: str) -> None:
    """A compiled coroutine that is suspended there leaves the failure to whoever runs next."""
    for function in _functions(module):
        for node in ast.walk(function):
            handling: list[ast.stmt] = []
            if isinstance(node, ast.Try):
                handling = [*node.finalbody, *(s for h in node.handlers for s in h.body)]
            waits = [n for one in handling for n in ast.walk(one) if isinstance(n, ast.Await)]
            assert not waits, f"{function.name}, line {waits[0].lineno}"
