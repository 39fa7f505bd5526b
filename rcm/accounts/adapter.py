"""allauth: accounts are made by an administrator, never by signing up; secrets of second factors
are sealed at rest.
"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.http import HttpRequest


class ClosedAccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return "/"

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
