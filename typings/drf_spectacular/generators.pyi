from typing import Any

class SchemaGenerator:
    def get_schema(self, request: object = None, public: bool = False) -> dict[str, Any]: ...
