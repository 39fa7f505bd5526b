"""SMART backend-services sign-in: an access token for a signed assertion (client credentials, RFC
7523; SMART App Launch 2, "Backend Services").

A connection's `config["smart"]` names the token address, our client id, the scope, the key id, and
the private key sealed with the installation's field keys. The token is kept in the cache until a
minute before it ends; it never reaches a log or a row.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.core.cache import cache

from rcm.exchange.models import Connection

ALGORITHM = "ES384"
LIFETIME = 300
EARLY = 60
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class SignInFailed(Exception):
    """No token: the sentence says why. `unknown`: it may work later."""

    def __init__(self, sentence: str, *, unknown: bool = False) -> None:
        super().__init__(sentence)
        self.unknown = unknown


def seal() -> MultiFernet:
    """What seals secrets in `config`: the installation's field keys."""
    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def new_key() -> tuple[str, dict[str, Any]]:
    """A fresh signing key: the private part sealed for `config`, the public part as a JWK to
    register with the payer.
    """
    key = ec.generate_private_key(ec.SECP384R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    public |= {"kid": uuid.uuid4().hex, "alg": ALGORITHM, "use": "sig"}
    return seal().encrypt(pem).decode(), public


def assertion(connection: Connection, *, now: float) -> str:
    """The signed statement of who asks: issuer and subject are our client id, the audience is the
    token address; five minutes, once.
    """
    smart = connection.config["smart"]
    try:
        pem = seal().decrypt(str(smart["key"]).encode())
    except (InvalidToken, KeyError):
        raise SignInFailed("The signing key of this connection cannot be opened.") from None
    claims = {
        "iss": smart["client_id"],
        "sub": smart["client_id"],
        "aud": smart["token_url"],
        "exp": int(now) + LIFETIME,
        "iat": int(now),
        "jti": uuid.uuid4().hex,
    }
    headers = {"kid": smart.get("kid", ""), "typ": "JWT"}
    return jwt.encode(claims, pem, algorithm=ALGORITHM, headers=headers)


Ask = Callable[[str, dict[str, str]], tuple[int, dict[str, Any]]]


def token(connection: Connection, ask: Ask) -> str:
    """An access token for this connection: the one kept, else a new one. `ask` posts a form and
    gives status and JSON. Raises SignInFailed.
    """
    smart = connection.config["smart"]
    kept_as = f"smart:{connection.pk}:{smart['client_id']}"
    kept = cache.get(kept_as)
    if kept:
        return str(kept)
    form = {
        "grant_type": "client_credentials",
        "scope": smart.get("scope", "system/*.cruds"),
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion(connection, now=time.time()),
    }
    status, body = ask(smart["token_url"], form)
    if status != 200 or not body.get("access_token"):
        raise SignInFailed(
            f"{connection.name} did not let us sign in (status {status}).", unknown=status >= 500
        )
    seconds = int(body.get("expires_in") or LIFETIME) - EARLY
    if seconds > 0:
        cache.set(kept_as, body["access_token"], seconds)
    return str(body["access_token"])


def forget(connection: Connection) -> None:
    """The kept token was refused: the next call signs in anew."""
    cache.delete(f"smart:{connection.pk}:{connection.config['smart']['client_id']}")
