from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_Shown = TypeVar("_Shown", bound=Callable[..., Any])

def display(
    *,
    boolean: bool | None = None,
    ordering: str | None = None,
    description: str | None = None,
    empty_value: str | None = None,
    label: bool | str | Mapping[str, str] | None = None,
    header: bool | None = None,
) -> Callable[[_Shown], _Shown]: ...
