"""allauth's forms with the house's sentences: "Enter the password", never "This field is
required".
"""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp.forms import ActivateTOTPForm

from rcm.web.forms import HouseMixin


class _SignIn(HouseMixin):
    """Labels say what to enter, so placeholders are dropped; the login box is named by what people
    have.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        for name in ("login", "email"):
            if name in self.fields:
                self.fields[name].label = "E-mail address"
                self.fields[name].error_messages["required"] = "Enter your e-mail address"


class LoginForm(_SignIn, account.LoginForm):
    pass


class ResetPasswordForm(_SignIn, account.ResetPasswordForm):
    pass


class ResetPasswordKeyForm(_SignIn, account.ResetPasswordKeyForm):
    pass


class ChangePasswordForm(_SignIn, account.ChangePasswordForm):
    pass


class ReauthenticateForm(_SignIn, account.ReauthenticateForm):
    pass


class AddEmailForm(_SignIn, account.AddEmailForm):
    pass


class CodeForm(_SignIn, mfa.AuthenticateForm):
    pass


class CodeAgainForm(_SignIn, mfa.ReauthenticateForm):
    pass


class ActivateForm(_SignIn, ActivateTOTPForm):
    pass
