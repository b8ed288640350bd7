from collections.abc import MutableMapping
from typing import IO, Any

class Env:
    ENVIRON: MutableMapping[str, str]
    @classmethod
    def read_env(cls, env_file: IO[str]) -> None: ...
    @classmethod
    def db_url_config(cls, url: str) -> dict[str, Any]: ...
