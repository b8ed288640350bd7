"""Hands refused credentials from the data path to the audit log.

A request without any credential refuses nothing: it is counted and in the request log, and not
here.
"""

from __future__ import annotations

from audit.refusals import Refusal, RefusalLog
from keys.errors import AuthenticationError, MissingCredentials
from proxying.exchange import Exchange
from proxying.gateway import RefusalObserver


def observer(log: RefusalLog) -> RefusalObserver:
    """What the gateway calls for each refusal."""

    def observe(exchange: Exchange, error: AuthenticationError) -> None:
        if isinstance(error, MissingCredentials):
            return
        log.note(
            Refusal(
                code=error.code,
                reason=error.reason,
                route=exchange.route.name if exchange.route else "",
                client=exchange.client,
                request_id=exchange.request_id.decode("ascii"),
                key=error.caller.key_prefix if error.caller else "",
                consumer=error.caller.consumer if error.caller else "",
            )
        )

    return observe
