"""TLS to upstreams: verified by default, by the rules of each service."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from proxying.upstream.base import ConnectFailed, Origin, UpstreamError
from proxying.upstream.transports import Transports
from routing.document import InstanceSpec, ServiceSpec, TlsSpec
from routing.errors import ConfigurationError
from routing.plans import ServicePlan
from routing.table import compile_service
from tests.upstream.certificates import Authority, Pair, private
from tests.wire.scripted import OK, PATIENT, Peer, Script, ScriptedUpstream, request


class SeeingUpstream(ScriptedUpstream):
    """An HTTPS upstream; *seen* gets what each client shows."""

    def __init__(self, script: Script, tls: ssl.SSLContext, seen: list[object]) -> None:
        super().__init__(script, tls)
        self.seen = seen


Serve = Callable[..., Awaitable[SeeingUpstream]]
TransportName = Literal["native", "httpx"]


@pytest.fixture(params=["native", "httpx"])
def transport_name(request: pytest.FixtureRequest) -> TransportName:
    return cast(TransportName, request.param)


@pytest.fixture
async def serve_tls(authority: Authority) -> AsyncIterator[Serve]:
    """An HTTPS upstream that shows *pair*; what was seen of the client is in ``seen``."""
    started: list[SeeingUpstream] = []

    async def start(pair: Pair, *, clients: bool = False) -> SeeingUpstream:
        context = authority.context(pair, clients=clients)
        seen: list[object] = []
        context.sni_callback = lambda _, name, __: seen.append(name)

        async def script(peer: Peer) -> None:
            seen.append(peer.writer.get_extra_info("ssl_object").getpeercert())
            while await peer.request():
                peer.send(OK)

        upstream = SeeingUpstream(script, context, seen)
        await upstream.start()
        started.append(upstream)
        return upstream

    yield start
    for upstream in started:
        await upstream.stop()


def service(url: str, tls: TlsSpec, transport: TransportName = "native") -> ServicePlan:
    instances = (InstanceSpec(url=url),)
    return compile_service("a", ServiceSpec(instances=instances, tls=tls, transport=transport))


async def status(upstream: ScriptedUpstream, tls: TlsSpec, transport: TransportName) -> int:
    """What an upstream answers to a service with this TLS."""
    transports = Transports()
    [instance] = service(f"https://127.0.0.1:{upstream.origin.port}", tls, transport).instances
    try:
        answer = await transports.send(Origin.of(instance), request(), PATIENT)
        assert await answer.read() == b"ok"
        return answer.status
    finally:
        await transports.close()


async def test_an_unknown_authority_is_not_believed(
    serve_tls: Serve, local: Pair, transport_name: TransportName
) -> None:
    upstream = await serve_tls(local)
    with pytest.raises(ConnectFailed):
        await status(upstream, TlsSpec(), transport_name)


async def test_a_service_brings_its_own_authority(
    serve_tls: Serve, authority: Authority, local: Pair, transport_name: TransportName
) -> None:
    upstream = await serve_tls(local)
    assert await status(upstream, TlsSpec(ca_file=authority.file), transport_name) == 200


async def test_a_certificate_of_another_name_is_refused(
    serve_tls: Serve, authority: Authority, transport_name: TransportName
) -> None:
    upstream = await serve_tls(authority.issue("other.test"))
    with pytest.raises(ConnectFailed):
        await status(upstream, TlsSpec(ca_file=authority.file), transport_name)


async def test_the_server_name_is_asked_for_and_verified(
    serve_tls: Serve, authority: Authority, transport_name: TransportName
) -> None:
    upstream = await serve_tls(authority.issue("other.test"))
    tls = TlsSpec(ca_file=authority.file, server_name="other.test")
    assert await status(upstream, tls, transport_name) == 200
    assert upstream.seen[0] == "other.test"
    with pytest.raises(ConnectFailed):
        await status(upstream, TlsSpec(ca_file=authority.file, server_name="x.test"), "native")


async def test_a_client_certificate_is_shown(
    serve_tls: Serve, authority: Authority, local: Pair, transport_name: TransportName
) -> None:
    upstream = await serve_tls(local, clients=True)
    mine = authority.issue("gateway.test")
    tls = TlsSpec(ca_file=authority.file, client_cert=mine.certificate, client_key=mine.key)
    assert await status(upstream, tls, transport_name) == 200
    [shown] = [one for one in upstream.seen if isinstance(one, dict)]
    assert ("DNS", "gateway.test") in shown["subjectAltName"]
    with pytest.raises(UpstreamError):
        await status(upstream, TlsSpec(ca_file=authority.file), transport_name)


async def test_without_verification_any_certificate_will_do(
    serve_tls: Serve, authority: Authority, transport_name: TransportName
) -> None:
    upstream = await serve_tls(authority.issue("other.test"))
    assert await status(upstream, TlsSpec(verify=False), transport_name) == 200


async def test_services_do_not_share_connections(
    serve_tls: Serve, authority: Authority, local: Pair
) -> None:
    upstream = await serve_tls(local)
    url = f"https://127.0.0.1:{upstream.origin.port}"
    [trusting] = service(url, TlsSpec(verify=False)).instances
    [careful] = service(url, TlsSpec()).instances
    transports = Transports()
    answer = await transports.send(Origin.of(trusting), request(), PATIENT)
    assert await answer.read() == b"ok"
    with pytest.raises(ConnectFailed):
        await transports.send(Origin.of(careful), request(), PATIENT)
    await transports.close()


def faults(tls: TlsSpec) -> dict[str, str]:
    """What is wrong with a service that has *tls*, by field."""
    with pytest.raises(ConfigurationError) as refusal:
        service("https://a.test", tls)
    return {fault.field: fault.reason for fault in refusal.value.faults}


def test_a_file_that_cannot_be_read_is_a_fault_of_its_service(files: Path) -> None:
    assert faults(TlsSpec(ca_file=str(files / "none.pem"))) == {
        "tls.ca_file": "cannot be read: No such file or directory"
    }


def test_files_that_are_no_certificates_are_refused(
    files: Path, authority: Authority, local: Pair
) -> None:
    nonsense = files / "nonsense.pem"
    nonsense.write_text("nonsense")
    assert "tls.ca_file" in faults(TlsSpec(ca_file=str(nonsense)))
    assert "tls.client_cert" in faults(TlsSpec(client_cert=str(nonsense)))
    other = authority.issue("other.test").key
    assert "tls.client_cert" in faults(TlsSpec(client_cert=local.certificate, client_key=other))


def test_an_encrypted_key_is_refused_and_nobody_is_asked(files: Path, local: Pair) -> None:
    locked = files / "locked.key"
    locked.write_bytes(private(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    tls = TlsSpec(client_cert=local.certificate, client_key=str(locked))
    assert "tls.client_cert" in faults(tls)


@pytest.mark.parametrize(
    ("tls", "field"),
    [
        (TlsSpec(client_key="/a.key"), "tls.client_key"),
        (TlsSpec(ca_file="/a.pem", verify=False), "tls.ca_file"),
        (TlsSpec(server_name="a b"), "tls.server_name"),
        (TlsSpec(ca_file="relative.pem"), "tls.ca_file"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tls: TlsSpec, field: str) -> None:
    assert field in faults(tls)


def test_a_context_is_made_once_until_a_file_changes(files: Path, authority: Authority) -> None:
    copy = files / "ca.pem"
    copy.write_bytes(Path(authority.file).read_bytes())

    def context() -> ssl.SSLContext | None:
        return service("https://a.test", TlsSpec(ca_file=str(copy))).instances[0].link.tls

    first = context()
    assert first is context()
    copy.write_bytes(copy.read_bytes() + b"\n")
    assert context() is not first


def test_plain_http_needs_no_context() -> None:
    [instance] = service("http://a.test", TlsSpec()).instances
    assert instance.link.tls is None
    assert replace(instance.link, service="") == Origin("http", "a", 1, b"").link
