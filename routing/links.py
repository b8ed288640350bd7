"""How the instances of a service are spoken to: by which transport, with which TLS.

Certificates and keys are files of the node, so a context is made where the document is compiled:
off the loop, once for each content of the files. What cannot be read is a fault of the service.
Leans on ``ssl`` and on the gateway's settings for the default transport.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from django.conf import settings

from routing.addresses import is_host_name, is_ip_literal
from routing.document import ServiceSpec, TlsSpec
from routing.plans import Link

T = TypeVar("T")
Finding = tuple[str, str]
_FileStamp = tuple[str, int, int, int]


def link_of(name: str, spec: ServiceSpec, findings: list[Finding]) -> Link:
    """The link of service *name*; what is wrong with its TLS is added to *findings*."""
    transport = _transport(spec)
    uses_tls = any(one.url.lower().startswith("https:") for one in spec.instances)
    wrong = list(_tls_findings(spec.tls))
    findings += wrong
    if wrong or not (uses_tls or spec.tls != TlsSpec()):
        return Link(name, transport)
    try:
        context = _context(spec.tls, transport, _stamps(spec.tls))
    except _Unreadable as error:
        findings.append((error.field, error.reason))
        return Link(name, transport)
    return Link(name, transport, context, spec.tls.server_name)


def _transport(spec: ServiceSpec) -> Literal["native", "h2", "httpx"]:
    if spec.transport != "default":
        return spec.transport
    return "httpx" if settings.GATEWAY.upstream_transport == "httpx" else "native"


def _tls_findings(spec: TlsSpec) -> Iterable[Finding]:
    if spec.client_key and not spec.client_cert:
        yield "tls.client_key", "needs client_cert"
    if spec.ca_file and not spec.verify:
        yield "tls.ca_file", "has no effect with verify: false"
    if spec.server_name and not (is_host_name(spec.server_name) or is_ip_literal(spec.server_name)):
        yield "tls.server_name", "must be a host name or an address"
    for field in ("ca_file", "client_cert", "client_key"):
        path = getattr(spec, field)
        if path and not Path(path).is_absolute():
            yield f"tls.{field}", "must be an absolute path"


class _Unreadable(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = f"tls.{field}"
        self.reason = reason


def _stamps(spec: TlsSpec) -> tuple[_FileStamp, ...]:
    """What changes when a file does, so that a renewed certificate is read at the next publish."""
    stamps = []
    for field in ("ca_file", "client_cert", "client_key"):
        path = getattr(spec, field)
        if path:
            status = _reading(field, Path(path).stat)
            stamps.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(stamps)


@lru_cache(maxsize=256)
def _context(spec: TlsSpec, transport: str, stamps: tuple[_FileStamp, ...]) -> ssl.SSLContext:
    """A context that verifies unless told not to. Each transport gets its own: they say in it
    which protocols they speak."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not spec.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif spec.ca_file:
        _reading("ca_file", lambda: context.load_verify_locations(cafile=spec.ca_file))
    else:
        context.load_default_certs()
    if spec.client_cert:
        key = spec.client_key or None
        # Without a password given, OpenSSL would ask for one on the terminal.
        _reading("client_cert", lambda: context.load_cert_chain(spec.client_cert, key, password=""))
    if transport != "httpx":
        context.set_alpn_protocols(["h2" if transport == "h2" else "http/1.1"])
    return context


def _reading(field: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except ssl.SSLError as error:
        raise _Unreadable(field, f"is not usable: {error.reason or 'not PEM'}") from error
    except OSError as error:
        raise _Unreadable(field, f"cannot be read: {error.strerror}") from error
