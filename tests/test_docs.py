"""The reference pages say what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from keys import errors as key_errors
from proxying import metrics, problems
from quotas import metrics as quota_metrics

PROJECT = Path(__file__).resolve().parent.parent


def page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text("utf-8")


def codes_in_the_code() -> set[str]:
    codes = {code for _, code, _ in problems._STATUS.values()}
    codes |= {
        code
        for error in vars(key_errors).values()
        if isinstance(code := getattr(error, "code", None), str)
    }
    for path in (PROJECT / "proxying").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadRequest":
                codes |= {str(ast.literal_eval(arg)) for arg in node.args[2:]}
    return codes | {"bad_request", "internal_error"}


def test_every_error_code_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| \d{3} \| `(\w+)`", page("errors.md"), re.MULTILINE)
    assert set(documented) == codes_in_the_code()


def test_every_metric_is_documented_with_its_labels() -> None:
    text = page("metrics.md")
    for metric in (*vars(metrics).values(), *vars(quota_metrics).values()):
        if isinstance(metric, MetricWrapperBase):
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            assert f"| `{name}` | {labels}" in text


def links() -> list[tuple[str, str]]:
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    return [
        (str(source.relative_to(PROJECT)), target)
        for source in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", source.read_text("utf-8"))
    ]


@pytest.mark.parametrize(("source", "target"), links())
def test_links_lead_somewhere(source: str, target: str) -> None:
    assert (PROJECT / source).parent.joinpath(target).exists()
