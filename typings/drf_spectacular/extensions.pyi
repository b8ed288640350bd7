from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction

class OpenApiSerializerExtension:
    target_class: str | type[object] | None
    target: Any
    def __init_subclass__(cls, **kwargs: object) -> None: ...
    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]: ...
