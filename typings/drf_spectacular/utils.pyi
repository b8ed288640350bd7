from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

Direction = Literal["request", "response"]
_Decorated = TypeVar("_Decorated")
_Described = TypeVar("_Described", bound=Callable[..., Any])

class OpenApiParameter:
    QUERY: Final = "query"
    PATH: Final = "path"
    HEADER: Final = "header"
    COOKIE: Final = "cookie"
    def __init__(
        self,
        name: str,
        type: type[Any] = ...,
        location: Literal["query", "path", "header", "cookie"] = "query",
        *,
        required: bool = False,
        description: str = "",
        enum: Sequence[object] | None = None,
        default: object = None,
    ) -> None: ...

def extend_schema(
    *,
    operation_id: str | None = None,
    summary: str | None = None,
    description: str | None = None,
    parameters: Sequence[OpenApiParameter] | None = None,
    request: object = ...,
    responses: object = ...,
    exclude: bool = False,
) -> Callable[[_Described], _Described]: ...
def extend_schema_field(
    field: Mapping[str, object],
) -> Callable[[_Decorated], _Decorated]: ...
def extend_schema_view(
    **operations: Callable[..., Any],
) -> Callable[[_Decorated], _Decorated]: ...
