"""allauth: accounts are made by an administrator, never by signing up; secrets of second factors
are sealed at rest.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from rcm.accounts import attempts


class ClosedAccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return "/"

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """In place of limits that a stranger's guesses would use up for the owner."""
        if attempts.too_many(request, self._email(credentials), self._address(request)):
            raise self.validation_error("too_many_login_attempts")

    def _rollback_login_failed_rl_usage(self) -> None:
        """Only failures are counted, so a success takes nothing back."""

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        attempts.failed(request, self._email(credentials), self._address(request))

    def post_login(self, request: HttpRequest, user: Any, **rest: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **rest)
        attempts.succeeded(request, user, response)
        return response

    def _address(self, request: HttpRequest) -> str:
        return str(self.get_client_ip(request) or "")

    @staticmethod
    def _email(credentials: dict[str, Any]) -> str:
        return str(credentials.get("email") or credentials.get("username") or "")

    def populate_username(self, request: HttpRequest, user: Any) -> None:
        return None


class SealedMfaAdapter(DefaultMFAAdapter):
    """The first of ISOCENTER_FIELD_KEYS seals, all of them open: put a new key first, keep the old
    one.
    """

    @property
    def _seal(self) -> MultiFernet:
        return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])

    def encrypt(self, text: str) -> str:
        return self._seal.encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return self._seal.decrypt(encrypted_text.encode()).decode()
