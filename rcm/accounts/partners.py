"""Partner systems at the API: OAuth2 client credentials bound to one organization, scopes, and the
tenant scope around each call.

A token's client must have an active Partner row; its rights are the token's scopes that the row
allows. Revoking the row or the token takes effect on the next call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils.http import parse_etags
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from oauth2_provider.oauth2_validators import OAuth2Validator
from oauth2_provider.scopes import BaseScopes
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from rcm.accounts import idempotency, reading
from rcm.accounts.actor import Actor, Grant, Place
from rcm.accounts.middleware import own_transactions
from rcm.accounts.models import DEMO_CLIENT, Partner
from rcm.accounts.permissions import SCOPE_PERMISSIONS
from rcm.accounts.problems import busy, problem
from rcm.accounts.scope import scope


def partner_of(application_id: int | None) -> Partner | None:
    """The open partner system of an OAuth2 client. The demo's client is nobody in production."""
    if application_id is None:
        return None
    rows = Partner.objects.select_related("organization").filter(
        application_id=application_id, active=True, organization__active=True
    )
    if settings.PRODUCTION:
        rows = rows.exclude(application__client_id=DEMO_CLIENT)
    return rows.first()


class PartnerScopes(BaseScopes):
    """What a client may ask the token endpoint for: the scopes of its Partner row, all of them when
    it names none.
    """

    def get_all_scopes(self) -> dict[str, str]:
        return dict(settings.OAUTH2_PROVIDER["SCOPES"])

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        partner = partner_of(application.pk) if application else None
        return sorted(set(partner.scopes) & set(self.get_all_scopes())) if partner else []

    def get_default_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return self.get_available_scopes(application)


class PartnerValidator(OAuth2Validator):
    """The token endpoint knows a client only while its Partner row is active."""

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        known = super().authenticate_client(request, *args, **kwargs)
        return bool(known) and partner_of(request.client.pk) is not None


class PartnerUser:
    """What DRF calls the user: a partner client."""

    is_authenticated = True
    is_active = True

    def __init__(self, partner: Partner, actor: Actor, scopes: frozenset[str]) -> None:
        self.partner, self.actor, self.scopes = partner, actor, scopes
        self.pk = f"partner-{partner.pk}"


class PartnerAuthentication(BaseAuthentication):
    """Bearer token → partner. A token of a client without an active Partner row is no one's."""

    def authenticate(self, request: Request) -> tuple[PartnerUser, Any] | None:
        found = OAuth2Authentication().authenticate(request)
        if found is None:
            return None
        token = found[1]
        partner = partner_of(token.application_id)
        if partner is None:
            raise exceptions.AuthenticationFailed(
                "This client is not connected to an organization."
            )
        scopes = frozenset(token.scope.split()) & frozenset(partner.scopes)
        codes = (
            frozenset().union(*(SCOPE_PERMISSIONS.get(s, frozenset()) for s in scopes))
            if scopes
            else frozenset()
        )
        actor = Actor.holding(
            [Grant(Place(partner.organization_id), codes, "partner")],
            name=partner.name,
            kind="partner",
        )
        return PartnerUser(partner, actor, scopes), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class ScopedPermission(BasePermission):
    """A view names the scope of each method in `scopes`; a method that is not named is closed."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.user, PartnerUser):
            return False
        wanted = getattr(view, "scopes", {}).get(
            "GET" if request.method in {"HEAD", "OPTIONS"} else request.method
        )
        if wanted is None:
            raise exceptions.MethodNotAllowed(str(request.method))
        return wanted in request.user.scopes


class PartnerView:
    """Mixin before APIView or a viewset: `self.actor`, the handler in one transaction inside the
    tenant scope, and safe POSTs.

    `scopes` names the OAuth2 scope of each method, `known_parameters` what a query string may hold
    beside filters and pages: anything else is refused, never passed over. An answer of 400 or more rolls the work back;
    the answer itself stays with the Idempotency-Key, when one was sent.
    """

    scopes: ClassVar[dict[str, str]] = {}
    known_parameters: ClassVar[tuple[str, ...]] = ()
    _outer: ExitStack
    _charts: reading.Reading
    _work: str | None
    _held: idempotency.Held | None

    @classmethod
    def as_view(cls, *args: Any, **kwargs: Any) -> Any:
        # a browser's session beside the token must not put the call into the person's transaction
        return own_transactions(super().as_view(*args, **kwargs))  # type: ignore[misc]

    @property
    def actor(self) -> Actor:
        return self.request.user.actor  # type: ignore[attr-defined, no-any-return]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        self._refuse_unknown(request)
        key = request.headers.get("Idempotency-Key", "")
        if request.method == "POST" and key:
            if len(key) > 255:
                raise exceptions.ValidationError({"Idempotency-Key": "At most 255 characters."})
            self._held, answer = idempotency.begin(request, key, self.actor, str(request.user.pk))
            if answer is not None:
                raise _Answered(answer)
        self._outer.enter_context(transaction.atomic())
        self._outer.enter_context(
            scope(self.actor, request_id=request.headers.get("X-Request-ID", "")[:80])
        )
        self._charts = self._outer.enter_context(reading.reading())
        self._work = transaction.savepoint()

    def _refuse_unknown(self, request: Request) -> None:
        """A filter that is not known is no filter: its rows would be taken for the ones wanted."""
        if request.method not in ("GET", "HEAD"):
            return
        known = {*self.known_parameters, *self._list_parameters()}
        unknown = sorted(set(request.query_params) - known)
        if not unknown:
            return
        names = ", ".join(sorted(known)) or "none"
        raise exceptions.ValidationError(
            {
                name[:40]: [f"There is no such parameter here. Known are: {names}."]
                for name in unknown
            }
        )

    def _list_parameters(self) -> Iterator[str]:
        """Filters and page parameters, where rows are listed."""
        if getattr(self, "action", "list") in ("retrieve", None):
            return
        filterset = getattr(self, "filterset_class", None)
        if filterset is not None:
            yield from filterset.base_filters
        pages = getattr(self, "pagination_class", None)
        for name in ("cursor_query_param", "page_size_query_param"):
            parameter = getattr(pages, name, None)
            if parameter:
                yield parameter

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        """A partner that has read this very answer before hears that nothing changed (304)."""
        done: Response = super().finalize_response(  # type: ignore[misc]
            request, response, *args, **kwargs
        )
        if request.method not in ("GET", "HEAD") or done.status_code != HTTPStatus.OK:
            return done
        done.render()
        digest = hashlib.sha256(done.content).hexdigest()[:24]
        version = done.get("ETag", "").strip('"')
        done["ETag"] = f'"{version}-{digest}"' if version else f'"{digest}"'
        asked = parse_etags(request.headers.get("If-None-Match", ""))
        if "*" not in asked and done["ETag"] not in {tag.removeprefix("W/") for tag in asked}:
            return done
        unchanged = Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": done["ETag"]})
        return super().finalize_response(  # type: ignore[misc, no-any-return]
            request, unchanged, *args, **kwargs
        )

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, _Answered):
            return exc.answer
        return super().handle_exception(exc)  # type: ignore[misc, no-any-return]

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        self._work = self._held = None
        try:
            with ExitStack() as self._outer:
                response: Response = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
                if self._work is not None:
                    self._settle(response)
        except _TakenOver:
            response = self._say(
                problem(409, "Another request with this key went ahead.", code="in_progress")
            )
        except (OperationalError, InterfaceError):
            response = self._say(busy())
        if self._held is not None and response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            with suppress(OperationalError, InterfaceError):
                idempotency.release(self._held, self.actor)
        # nothing of a patient stays in a partner's proxy; the middleware says so
        # only to people
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _settle(self, response: Response) -> None:
        """Keep or undo the work, and the answer with its key; log whose charts were shown."""
        request: Request = self.request  # type: ignore[attr-defined]
        # what a partner wrote itself is an event; what it reads is a reading
        if request.method in ("GET", "HEAD") and response.status_code < HTTPStatus.BAD_REQUEST:
            page = request.resolver_match.view_name if request.resolver_match else ""
            reading.log_rest(
                self._charts,
                actor=self.actor,
                purpose=f"api {page}",
                request_id=request.headers.get("X-Request-ID", "")[:80],
            )
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            transaction.savepoint_rollback(self._work or "")
            transaction.set_rollback(False)
        if self._held is None or response.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return
        if not idempotency.finish(self._held, response):
            raise _TakenOver

    def _say(self, response: Response) -> Response:
        return self.finalize_response(self.request, response)  # type: ignore[attr-defined]


class _TakenOver(Exception):
    """We slept so long that somebody else took our key: our work is undone."""


class _Answered(Exception):
    """The key was used before: its answer is given again."""

    def __init__(self, answer: Response) -> None:
        self.answer = answer
