from collections.abc import Sequence
from typing import Any

def setup(
    *, name: str, packages: Sequence[str], script_args: Sequence[str], ext_modules: Sequence[Any]
) -> None: ...
