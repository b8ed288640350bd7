from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import Direction
from rest_framework.schemas.inspectors import ViewInspector

class AutoSchema(ViewInspector):
    method: str
    path: str
    def get_tags(self) -> list[str]: ...
    def _is_list_view(self, serializer: object = None) -> bool: ...
    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]: ...
    def _get_response_for_code(
        self,
        serializer: object,
        status_code: str,
        media_types: Sequence[str] | None = None,
        direction: Direction = "response",
    ) -> dict[str, Any]: ...
