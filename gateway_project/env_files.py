"""The files settings are read from and the texts made from their declarations.

Reading leans on django-environ; the example file and ``docs/settings.md`` are written from
``variables``, so that neither can tell another story than the code.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from pathlib import Path
from typing import Final, cast, get_type_hints

import environ

from gateway_project.declaring import Declaration, SettingsError, allowed
from gateway_project.variables import Variables

PROJECT_DIRECTORY: Final = Path(__file__).resolve().parent.parent
ENVIRONMENTS: Final = {
    "default": "default",
    "dev": "dev",
    "development": "dev",
    "prod": "prod",
    "production": "prod",
}
_FILES: Final = {"default": ".env", "dev": ".env.dev", "prod": ".env.prod"}
_LINE = re.compile(r"(?:export )?([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_COMMENT = re.compile(r"(^|\s+)#.*$")


def environment_named(name: str) -> str:
    """``default``, ``dev`` or ``prod``. Raises :class:`SettingsError` for another name."""
    try:
        return ENVIRONMENTS[name.strip().lower() or "default"]
    except KeyError:
        raise SettingsError(f"ENVIRONMENT={name}: one of {', '.join(ENVIRONMENTS)}") from None


def file_of(environment: str) -> Path:
    """Where the file of *environment* belongs, whether or not it is there."""
    return PROJECT_DIRECTORY / _FILES[environment]


def environments_with_a_file() -> list[str]:
    """The environments that have a file of their own, in the order default, dev, prod."""
    return [name for name in _FILES if file_of(name).is_file()]


def read(path: Path) -> dict[str, str]:
    """The variables of a file, unparsed. Raises :class:`SettingsError` for a line it cannot take.

    django-environ logs a bad line, secret and all, and goes on; and it keeps a comment behind a
    value as part of the value. So lines are looked at before it sees them.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: cannot be read as UTF-8 text ({type(error).__name__})"
        ) from None
    lines = [_line(path, number, line) for number, line in enumerate(text.splitlines(), 1)]
    values: dict[str, str] = {}
    reader: type[environ.Env] = type("FileEnv", (environ.Env,), {"ENVIRON": values})
    reader.read_env(io.StringIO("\n".join(lines)))
    return values


def _line(path: Path, number: int, line: str) -> str:
    line = line.strip()
    if not line or line.startswith("#"):
        return ""
    match = _LINE.fullmatch(line)
    if match is None:
        raise SettingsError(f"{path} line {number}: NAME=value is allowed")
    name, value = match[1], match[2].strip()
    if value[:1] not in {"'", '"'}:
        value = _COMMENT.sub("", value)
    return f"{name}={value}"


def declarations() -> dict[str, tuple[object, Declaration]]:
    """Type and declaration of every variable, by field name, in the order they are declared."""
    kinds = get_type_hints(Variables)
    return {
        name: (kinds[name], cast("Declaration", field.metadata["declaration"]))
        for name, field in Variables.__dataclass_fields__.items()
    }


def example(environment: str, deployment_mode: str = "single") -> str:
    """The text of a commented ``.env`` file with random secrets filled in."""
    lines = [
        f"# Settings of the gateway, environment {environment}. docs/settings.md says more.",
        "# A line that is commented out shows the default.",
    ]
    group = ""
    for name, (kind, declaration) in declarations().items():
        if declaration.group != group:
            group = declaration.group
            lines += ["", f"# --- {group} ---"]
        lines.append(f"# {declaration.summary} ({allowed(kind, declaration)})")
        lines.append(_assignment(name, declaration, environment, deployment_mode))
    return "\n".join(lines) + "\n"


def _assignment(name: str, declaration: Declaration, environment: str, mode: str) -> str:
    if declaration.generated:
        return f"{name.upper()}={secrets.token_urlsafe(48)}"
    if name == "deployment_mode":
        return f"DEPLOYMENT_MODE={mode}"
    default = declaration.by_environment.get(environment, declaration.default)
    return f"# {name.upper()}={written(default)}"


def written(value: object) -> str:
    """*value* as it stands in a file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def create(environment: str, deployment_mode: str = "single", path: Path | None = None) -> Path:
    """Write the example file, readable by its owner alone. Never overwrites.

    Raises :class:`SettingsError` when the file is there already or cannot be written.
    """
    path = path or file_of(environment)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SettingsError(f"{path} exists and is left as it is") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(example(environment, deployment_mode))
    return path


def markdown() -> str:
    """The text of ``docs/settings.md``."""
    lines = [_INTRODUCTION]
    group = ""
    for name, (kind, declaration) in declarations().items():
        if declaration.group != group:
            group = declaration.group
            lines += [f"## {group}", ""]
        lines += [f"### {name.upper()}", "", declaration.summary, ""]
        lines += [
            f"- Allowed: {allowed(kind, declaration)}",
            f"- Default: {_defaults(declaration)}",
        ]
        if declaration.secret:
            lines.append(f"- Secret: `{name.upper()}_FILE` may name a file that holds it")
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _defaults(declaration: Declaration) -> str:
    shown = [_code(declaration.default)]
    shown += [f"{_code(value)} in {name}" for name, value in declaration.by_environment.items()]
    return ", ".join(shown)


def _code(value: object) -> str:
    text = written(value)
    return f"`{text}`" if text else "empty"


_INTRODUCTION: Final = """\
# Settings

Written by `python manage.py create_env --markdown`; a test holds this page equal to the code.

Settings are environment variables. The process environment wins over the file. The file is
`.env.dev` or `.env.prod` when `--env` or `ENVIRONMENT` says `dev` or `prod` and that file exists,
else `.env`; `ENV_FILE` names another one. An empty value means the default; in the process
environment it hides the file's. A value that is not allowed stops the start with
`NAME=value: what is allowed`. A secret may come from a file: `NAME_FILE=/run/secrets/name` (one
newline at its end is dropped).

`python manage.py create_env` writes a commented file with random secrets and never overwrites one.
With `DEBUG` off the gateway does not start while `SECRET_KEY` or `JWT_SECRET_KEY` is empty or a
known example.

### ENVIRONMENT

Which file is read and which defaults hold.

- Allowed: one of default, dev, development, prod, production
- Default: `default`

### ENV_FILE

Path of the file to read instead of the environment's own. It must exist.

- Allowed: path
- Default: empty
"""
