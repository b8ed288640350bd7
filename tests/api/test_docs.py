"""``docs/api.md``: every example does what the page says."""

from __future__ import annotations

import base64
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.api import problems

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sh\n# (\d{3})\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
[FILE] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GATEWAY = "https://gateway.example.com/api/gateway"


@dataclass
class Curl:
    """The little of curl that the page uses."""

    words: list[str]
    method: str = "GET"
    url: str = ""
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        left = iter(self.words[1:])
        for word in left:
            match word:
                case "-X":
                    self.method = next(left)
                case "-u":
                    token = base64.b64encode(next(left).encode()).decode()
                    self.headers["Authorization"] = f"Basic {token}"
                case "-H":
                    name, _, value = next(left).partition(": ")
                    self.headers[name] = value
                case "-d" | "--data-binary":
                    self.body = next(left).replace("@gateway.yaml", FILE)
                case _:
                    self.url = word.removeprefix("https://gateway.example.com")


@pytest.mark.django_db
def test_every_example_of_the_page_does_what_it_says() -> None:
    User.objects.create_superuser("alice", password="wonderland")
    client, key_id = Client(), ""
    assert len(EXAMPLES) > 10
    for status, command in EXAMPLES:
        line = command.replace("\\\n", " ")
        words = line.replace("$GATEWAY", GATEWAY).replace("$LOGIN", "alice:wonderland")
        curl = Curl(shlex.split(words.replace("$ID", key_id)))
        kind = curl.headers.pop("Content-Type", "application/json")
        answer = client.generic(
            curl.method, curl.url, curl.body, kind, headers=curl.headers, secure=True
        )
        assert answer.status_code == int(status), (command, answer.content)
        if "/api-keys/" in curl.url and status == "201":
            key_id = str(answer.json()["id"])


def test_the_page_names_every_code() -> None:
    source = Path(problems.__file__).parent
    text = "".join(file.read_text(encoding="utf-8") for file in source.glob("*.py"))
    codes = set(re.findall(r"HTTPStatus\.[A-Z_]+,\s*\"([a-z_]+)\"", text))
    assert codes
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()
