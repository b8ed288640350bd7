from typing import Any

class SchemaGenerator:
    def get_schema(self, request: object = None, public: bool = False) -> dict[str, Any]: ...

class EndpointEnumerator:
    def get_api_endpoints(
        self, patterns: object = None, prefix: str = ""
    ) -> list[tuple[str, str, str, Any]]: ...
