"""Access tokens nobody should believe (CONTRACT §6, HAZARDS "Identity", RFC 7515, 7519, 8725).

Signed, where signed, with the gateway's own secret: only the one thing that is named is wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from tests.django_settings import ENVIRONMENT
from tests.keys.forge import segment, signed

SECRET = ENVIRONMENT["JWT_SECRET_KEY"].encode()
NOW = int(time.time())
HEADER = {"alg": "HS256", "typ": "JWT"}
CLAIMS: dict[str, Any] = {"sub": "42", "exp": NOW + 3600}


def claiming(**claims: Any) -> str:
    """A good token with *claims* changed; one that is ``...`` is left out."""
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not ...}
    return signed(HEADER, merged, SECRET)


def headed(**parameters: Any) -> str:
    """A good token with header *parameters* changed; one that is ``...`` is left out."""
    merged = {name: value for name, value in (HEADER | parameters).items() if value is not ...}
    return signed(merged, CLAIMS, SECRET)


def unsigned(algorithm: str, signature: str = "") -> str:
    """A token that says it needs no signature."""
    return f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(CLAIMS)}.{signature}"


def _hmac(digest: str) -> str:
    body = f"{segment({'alg': digest.upper().replace('SHA', 'HS'), 'typ': 'JWT'})}."
    body += segment(CLAIMS)
    return f"{body}.{segment(hmac.new(SECRET, body.encode(), digest).digest())}"


def _raw(header: bytes, claims: bytes) -> str:
    body = f"{segment(header)}.{segment(claims)}"
    return f"{body}.{segment(hmac.new(SECRET, body.encode(), hashlib.sha256).digest())}"


GOOD = claiming()
FIRST, SECOND, THIRD = GOOD.split(".")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

INVALID = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "alg none with a good signature": headed(alg="none"),
    "alg none with some signature": unsigned("none", "AAAA"),
    "alg empty": headed(alg=""),
    "alg missing": headed(alg=...),
    "alg a list": headed(alg=["HS256"]),
    "alg null": headed(alg=None),
    "alg hs256": headed(alg="hs256"),
    "alg HS256 with a blank": headed(alg="HS256 "),
    "alg RS256": headed(alg="RS256"),
    "alg ES256": headed(alg="ES256"),
    "HS384": _hmac("sha384"),
    "HS512": _hmac("sha512"),
    "another secret": signed(HEADER, CLAIMS, b"another secret"),
    "the empty secret": signed(HEADER, CLAIMS, b""),
    "no signature": f"{FIRST}.{SECOND}.",
    "no third part": f"{FIRST}.{SECOND}",
    "a fourth part": f"{GOOD}.{THIRD}",
    "a trailing dot": f"{GOOD}.",
    "five parts like a JWE": f"{FIRST}.{SECOND}.{THIRD}.{SECOND}.{THIRD}",
    "claims of another token": f"{FIRST}.{segment({**CLAIMS, 'sub': '1'})}.{THIRD}",
    "padding": f"{GOOD}=",
    "a signature in another spelling": GOOD[:-1] + _LETTERS[_LETTERS.index(GOOD[-1]) + 1],
    "standard base64": _raw(b'{"alg":"HS256","x":"\xc3\xbf\xc3\xbf"}', b"{}").replace("_", "/"),
    "a percent escape": GOOD.replace(".", "%2E"),
    "header no JSON": _raw(b"alg=HS256", json.dumps(CLAIMS).encode()),
    "header a list": signed(["HS256"], CLAIMS, SECRET),
    "alg twice": _raw(b'{"alg":"none","alg":"HS256","typ":"JWT"}', json.dumps(CLAIMS).encode()),
    "claims no JSON": _raw(json.dumps(HEADER).encode(), b"sub=42"),
    "claims a list": signed(HEADER, [CLAIMS], SECRET),
    "claims null": signed(HEADER, None, SECRET),
    "sub twice": _raw(json.dumps(HEADER).encode(), b'{"sub":"1","sub":"2","exp":%d}' % (NOW + 60)),
    "deep JSON": _raw(json.dumps(HEADER).encode(), b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}"),
    "jwk in the header": headed(jwk={"kty": "oct", "k": segment(SECRET)}),
    "jku in the header": headed(jku="http://127.0.0.1:1/keys"),
    "x5u in the header": headed(x5u="http://127.0.0.1:1/cert"),
    "x5c in the header": headed(x5c=["AAAA"]),
    "crit unknown": headed(crit=["exp"]),
    "b64 false": headed(b64=False, crit=["b64"]),
    "kid a path": headed(kid="../../../dev/null"),
    "kid SQL": headed(kid="x' UNION SELECT 'secret"),
    "kid a number": headed(kid=1),
    "kid a list": headed(kid=["a"]),
    "kid with NUL": headed(kid="a\0b"),
    "kid of 10 KB": headed(kid="a" * 5000),
    "typ of something else": headed(typ="dpop+jwt"),
    "exp missing": claiming(exp=...),
    "exp null": claiming(exp=None),
    "exp a float": claiming(exp=NOW + 3600.5),
    "exp text": claiming(exp=str(NOW + 3600)),
    "exp true": claiming(exp=True),
    "exp huge": claiming(exp=10**30),
    "exp 1e400": _raw(json.dumps(HEADER).encode(), b'{"sub":"42","exp":1e400}'),
    "exp Infinity": _raw(json.dumps(HEADER).encode(), b'{"sub":"42","exp":Infinity}'),
    "exp NaN": _raw(json.dumps(HEADER).encode(), b'{"sub":"42","exp":NaN}'),
    "exp a list": claiming(exp=[NOW + 3600]),
    "exp negative": claiming(exp=-1),
    "nbf ahead": claiming(nbf=NOW + 3600),
    "nbf text": claiming(nbf="now"),
    "sub missing": claiming(sub=...),
    "sub empty": claiming(sub=""),
    "sub a number": claiming(sub=42),
    "sub a list": claiming(sub=["42"]),
    "sub with CR LF": claiming(sub="42\r\nX-Roles: admin"),
    "sub of 5 KB": claiming(sub="4" * 5000),
    "roles with CR LF": claiming(roles=["a\r\nX-Roles: admin"]),
    "roles with LF as text": claiming(roles="a\nb"),
    "a role with a comma": claiming(roles=["a,admin"]),
    "roles of numbers": claiming(roles=[1]),
    "roles an object": claiming(roles={"admin": True}),
    "permissions with NUL": claiming(permissions=["a\0b"]),
    "permissions with U+2028": claiming(permissions=["a\u2028b"]),
    "a refresh token by its claim": claiming(token_type="refresh"),
    "a refresh token by its use": claiming(token_use="refresh"),
    "larger than a token may be": claiming(padding="x" * 20_000),
    "not a token": "abc",
    "dots": "..",
    "an API key": "gw_" + "a" * 43,
}
EXPIRED = {
    "exp past": claiming(exp=NOW - 1),
    "exp 0": claiming(exp=0),
    "exp long past": claiming(exp=1),
}
GOOD_TOKENS = {
    "plain": (GOOD, {"x-user-id": ["42"], "x-roles": [], "x-auth-method": ["jwt"]}),
    "roles as a list": (claiming(roles=["a", "b"]), {"x-roles": ["a,b"]}),
    "roles as words": (claiming(roles="a b"), {"x-roles": ["a,b"]}),
    "roles with commas": (claiming(roles="a,b"), {"x-roles": ["a,b"]}),
    "permissions as a list": (claiming(permissions=["x.read"]), {"x-permissions": ["x.read"]}),
    "unknown claims": (claiming(anything={"a": [1]}), {"x-user-id": ["42"]}),
    "nbf past": (claiming(nbf=NOW - 10, iat=NOW - 10), {"x-user-id": ["42"]}),
    "without typ": (headed(typ=...), {"x-user-id": ["42"]}),
    "at+jwt": (headed(typ="at+jwt"), {"x-user-id": ["42"]}),
    "some kid": (headed(kid="key-1"), {"x-user-id": ["42"]}),
}
