"""Wrong passwords: counted for an account and a network together, so that a stranger's guesses never
lock out the owner and one colleague's never another's (rule `session-security`).

A browser in which somebody has signed in before is known by a signed cookie and counts apart from
all strangers. Who meets a limit can still use a passkey. The owner hears of guesses by mail and at
the next sign-in.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core import signing
from django.core.cache import cache
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from rcm.accounts.models import User

COOKIE = "isocenter_device"
COOKIE_SECONDS = 180 * 24 * 3600
SALT = "rcm.accounts.attempts"
MOST_ACCOUNTS = 12
"""People who share one browser at a desk."""
TELL_AFTER = (5, 50, 500)
"""Guesses within a day after which the owner is told."""
DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` failures within `seconds` under one key."""

    kind: str
    most: int
    seconds: int


KNOWN_DEVICE = Limit("device", 10, 300)
ACCOUNT_AND_NETWORK = Limit("account-network", 5, 300)
ACCOUNT_OF_STRANGERS = Limit("account", 100, 3600)
NETWORK = Limit("network", 300, 600)


def network_of(address: str) -> str:
    """The network of a client: /24 of IPv4, /56 of IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = 24 if found.version == 4 else 56
    return str(ipaddress.ip_network(f"{found}/{prefix}", strict=False))


def too_many(request: HttpRequest, email: str, address: str) -> bool:
    """Whether this sign-in is refused before its password is looked at."""
    return any(
        int(cache.get(key) or 0) >= limit.most for limit, key in _keys(request, email, address)
    )


def failed(request: HttpRequest, email: str, address: str) -> None:
    """Count a wrong password, and tell the owner when there are many."""
    for limit, key in _keys(request, email, address):
        _count(key, limit.seconds)
    user = User.objects.filter(email__iexact=email.strip(), is_active=True).first()
    if user is None:
        return
    guesses = _count(_owner_key(user), DAY)
    if guesses in TELL_AFTER:
        _tell(user, guesses, network_of(address))


def succeeded(request: HttpRequest, user: User, response: HttpResponse) -> None:
    """Know this browser from now on, and say what was tried meanwhile."""
    known = {pk: seal for pk, seal in _known(request).items() if pk != str(user.pk)}
    kept = dict(list(known.items())[-(MOST_ACCOUNTS - 1) :]) | {str(user.pk): _seal(user)}
    response.set_cookie(
        COOKIE,
        signing.dumps(kept, salt=SALT, compress=True),
        max_age=COOKIE_SECONDS,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )
    guesses = int(cache.get(_owner_key(user)) or 0)
    if guesses:
        cache.delete(_owner_key(user))
        what = "once" if guesses == 1 else f"{guesses} times"
        messages.warning(
            request,
            f"A wrong password was tried {what} since your last sign-in. Not you? Change your"
            " password.",
        )


def _keys(request: HttpRequest, email: str, address: str) -> Iterator[tuple[Limit, str]]:
    account = email.strip().casefold()
    if _is_known(request, account):
        yield KNOWN_DEVICE, _key(KNOWN_DEVICE, account, request.COOKIES[COOKIE])
        return
    network = network_of(address)
    yield ACCOUNT_AND_NETWORK, _key(ACCOUNT_AND_NETWORK, account, network)
    yield ACCOUNT_OF_STRANGERS, _key(ACCOUNT_OF_STRANGERS, account)
    yield NETWORK, _key(NETWORK, network)


def _key(limit: Limit, *parts: str) -> str:
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"sign-in:{limit.kind}:{digest[:40]}"


def _owner_key(user: User) -> str:
    return f"sign-in:guesses:{user.pk}"


def _count(key: str, seconds: int) -> int:
    cache.add(key, 0, timeout=seconds)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ran out between the two
        cache.set(key, 1, timeout=seconds)
        return 1


def _known(request: HttpRequest) -> dict[str, Any]:
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=COOKIE_SECONDS)
    except signing.BadSignature:
        return {}
    return found if isinstance(found, dict) else {}


def _is_known(request: HttpRequest, account: str) -> bool:
    known = _known(request)
    if not known:
        return False
    user = User.objects.filter(email__iexact=account, pk__in=list(known)).first()
    return user is not None and constant_time_compare(known[str(user.pk)], _seal(user))


def _seal(user: User) -> str:
    """Ends with the password: after a change every browser is a stranger once."""
    return salted_hmac(SALT, f"{user.pk}:{user.password}").hexdigest()[:32]


def _tell(user: User, guesses: int, network: str) -> None:
    send_mail(
        "Wrong passwords were tried on your account",
        f"On {timezone.now():%Y-%m-%d %H:%M} UTC a wrong password had been tried {guesses} times"
        f" within a day, last from the network {network}.\n\n"
        "Your account is open to you as before: in a browser where you have signed in, or with a"
        " passkey. If it was not you, change your password and look at where you are signed in.\n",
        None,
        [user.email],
        fail_silently=True,
    )
