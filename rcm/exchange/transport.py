"""Bytes out over HTTP, and what came back: bounded in time and size, to public addresses only,
without redirects.

The address is judged at the moment of the connection and that very address is connected to, so that
a name that changes its mind between the check and the call gains nothing. Hosts of
`EXCHANGE_TRUSTED_HOSTS` ("host:port", in the demo the payer simulator) are exempt.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
from django.conf import settings

from rcm.exchange import smart
from rcm.exchange.models import ConnectionKind, Interchange

SECONDS = 15.0
SIMULATOR = "simulator"  # the host part by which connections know it
CONNECT_SECONDS = 5.0
MOST_BYTES = 1_000_000
FHIR = "application/fhir+json"
# a send that has not ended by then has died with its process, and its outcome is unknown
PATIENCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`accepted`: the receiver has it. `unknown`: nobody can say yet, ask again. Neither: it was
    refused, the sentence says how.
    """

    accepted: bool = False
    unknown: bool = False
    status: int = 0
    body: bytes = b""
    media_type: str = ""
    sentence: str = ""


class Forbidden(Exception):
    """The address is not one we call."""


@cache
def tls() -> ssl.SSLContext:
    """The system's trusted authorities, read once: it costs more than a whole call."""
    return ssl.create_default_context()


def trusted_hosts() -> frozenset[str]:
    named = settings.EXCHANGE_TRUSTED_HOSTS
    if named is None:
        named = [urlsplit(settings.SIMULATOR_URL).netloc] if settings.DEMO else []
    return frozenset(h.lower() for h in named)


def called(url: str) -> str:
    """Where an address leads. Connections know the payer simulator by its name: its port is that of
    `SIMULATOR_URL` today, not the one of the day on which the connection was made.
    """
    try:
        parts = urlsplit(url)
        named = parts.netloc.lower() == SIMULATOR
    except ValueError:
        return url
    if not named:
        return url
    place = urlsplit(settings.SIMULATOR_URL)
    return parts._replace(scheme=place.scheme, netloc=place.netloc).geturl()


def check_url(url: str) -> None:
    """Raise Forbidden unless the URL may be called: https (http for trusted hosts), a host, no user
    name inside.
    """
    try:
        parts = urlsplit(url)
        netloc, host = parts.netloc.lower(), parts.hostname
        _ = parts.port
    except ValueError:
        raise Forbidden("The address of this connection cannot be read.") from None
    if not host or "@" in netloc or any(c.isspace() or c == "\\" for c in url):
        raise Forbidden("The address of this connection is not a plain https address.")
    if netloc in trusted_hosts():
        if parts.scheme not in ("http", "https"):
            raise Forbidden("The address of this connection is neither http nor https.")
        return
    if parts.scheme != "https":
        raise Forbidden("The address of this connection must start with https://.")


def public_address(host: str, port: int) -> str:
    """Resolve a host to one address that is public, or raise Forbidden. Every address of the name
    must be public.
    """
    try:
        found = [
            str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        ]
    except OSError:
        raise httpcore.ConnectError("the name does not resolve") from None
    for text in found:
        if not is_public(text):
            raise Forbidden("The address of this connection leads into a private network.")
    if not found:
        raise httpcore.ConnectError("the name does not resolve")
    return found[0]


# translators into IPv4 (RFC 6052, RFC 8215): where they lead is the network's business
TRANSLATORS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_public(text: str) -> bool:
    """Whether an address, and each one that it carries inside, belongs to the open internet."""
    address = ipaddress.ip_address(text.split("%")[0])
    inner: list[Any] = []
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in TRANSLATORS):
            return False
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    return all(each.is_global and not each.is_multicast for each in (address, *filter(None, inner)))


class _Stream(httpcore.NetworkStream):
    """A stream that ends at a moment, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner, self._deadline = inner, deadline

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("too slow")
        return min(left, timeout) if timeout else left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(
            self._inner.start_tls(ssl_context, server_hostname, self._left(timeout)), self._deadline
        )

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        address = host if f"{host}:{port}" in trusted_hosts() else public_address(host, port)
        inner = super().connect_tcp(address, port, timeout, local_address, socket_options)
        return _Stream(inner, self._deadline)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise Forbidden("Only network addresses are called.")


def address_of(row: Interchange) -> str:
    """Where a row goes: the connection's URL, with the path that its kind has there (`config` key
    `paths`, such as an operation of a FHIR service).
    """
    connection = row.connection
    assert connection is not None
    path = connection.config.get("paths", {}).get(row.kind, "")
    base = called(connection.url)
    return f"{base.rstrip('/')}{path}" if path else base


def _client(deadline: float) -> httpx.Client:
    """An HTTP client that calls only judged addresses, and none after the deadline."""
    transport = httpx.HTTPTransport(trust_env=False, verify=tls())
    transport._pool = httpcore.ConnectionPool(
        ssl_context=tls(), network_backend=_Network(deadline), max_connections=1
    )
    timeout = httpx.Timeout(SECONDS, connect=CONNECT_SECONDS)
    return httpx.Client(
        transport=transport, timeout=timeout, follow_redirects=False, trust_env=False
    )


def _post_form(url: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """Post a form and read a small JSON object, under the same rules as everything else."""
    url = called(url)
    check_url(url)
    with _client(time.monotonic() + SECONDS) as client:
        response = client.post(url, data=form, headers={"Accept": "application/json"})
    try:
        body = response.json() if len(response.content) < MOST_BYTES else {}
    except ValueError:
        body = {}
    return response.status_code, body if isinstance(body, dict) else {}


def _broken(name: str, error: Exception) -> Outcome:
    """What a call that brought no answer is: asked again, and why."""
    if isinstance(error, httpx.ConnectError):
        return Outcome(unknown=True, sentence=f"{name} cannot be reached.")
    if isinstance(error, httpx.TimeoutException):
        return Outcome(
            unknown=True, sentence=f"{name} did not answer within {SECONDS:.0f} seconds."
        )
    return Outcome(
        unknown=True, sentence=f"The connection to {name} broke ({type(error).__name__})."
    )


def post(row: Interchange) -> Outcome:
    """Post one interchange to its connection's address, signed in where the connection asks for it.
    The Idempotency-Key is the row's public id on every try.
    """
    from rcm.exchange import webhooks

    connection = row.connection
    assert connection is not None
    headers = {
        "Content-Type": row.media_type,
        "Idempotency-Key": str(row.public_id),
        "X-Control-Number": row.control_number,
        "X-Interchange-Kind": row.kind,
        "User-Agent": "Isocenter",
        "Accept-Encoding": "identity",
    }
    try:
        check_url(address_of(row))
        if connection.kind == ConnectionKind.WEBHOOK:
            return webhooks.judged(_exchange(row, headers | webhooks.headers(row)))
        if "smart" in connection.config:
            headers["Authorization"] = f"Bearer {smart.token(connection, _post_form)}"
            headers["Accept"] = "application/fhir+json"
        found = _exchange(row, headers)
    except Forbidden as problem:
        return Outcome(sentence=str(problem))
    except smart.SignInFailed as problem:
        return Outcome(unknown=problem.unknown, sentence=str(problem))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return _broken(connection.name, error)
    if found.status == 401 and "smart" in connection.config:
        smart.forget(connection)
        return Outcome(unknown=True, status=401, sentence=f"{connection.name} wants a new sign-in.")
    return found


def _exchange(row: Interchange, headers: dict[str, str]) -> Outcome:
    connection = row.connection
    assert connection is not None
    deadline = time.monotonic() + SECONDS
    body = bytearray()
    with (
        _client(deadline) as client,
        client.stream(
            "POST", address_of(row), content=bytes(row.content), headers=headers
        ) as response,
    ):
        status, media_type = response.status_code, response.headers.get("content-type", "")
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MOST_BYTES:
                return Outcome(
                    unknown=True,
                    status=status,
                    sentence=(
                        f"{connection.name} answered with more than 1 MB; the answer was cut off."
                    ),
                )
            if time.monotonic() > deadline:
                return Outcome(
                    unknown=True,
                    status=status,
                    sentence=f"{connection.name} answered too slowly.",
                )
    return _judged(connection.name, status, media_type.split(";")[0].strip()[:60], bytes(body))


def _judged(name: str, status: int, media_type: str, body: bytes) -> Outcome:
    """A FHIR service that refuses says why in an OperationOutcome: that is an answer to read."""
    says_why = (
        media_type == FHIR and 400 <= status < 500 and status not in (401, 408, 409, 425, 429)
    )
    if 200 <= status < 300 or says_why:
        return Outcome(accepted=True, status=status, body=body, media_type=media_type)
    if status in (408, 409, 425, 429) or status >= 500:
        return Outcome(
            unknown=True,
            status=status,
            sentence=f"{name} answered with status {status}; it is asked again.",
        )
    return Outcome(status=status, sentence=f"{name} refused it with status {status}.")
