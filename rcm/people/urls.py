from __future__ import annotations

from django.urls import path

from rcm.people import platform_views, views

app_name = "people"
urlpatterns = [
    path("profile/", views.profile, name="profile"),
    path("people/", views.people, name="people"),
    path("people/sign-in/", views.factors, name="factors"),
    path("people/sign-in/<uuid:public_id>/", views.factor, name="factor"),
    path("people/invite/", views.invite, name="invite"),
    path("people/invitations/", views.invited, name="invited"),
    path("people/invitations/<uuid:public_id>/", views.invited_one, name="invited_one"),
    path("invitations/", views.invitations, name="invitations"),
    path(
        "invitations/<uuid:public_id>/<str:answer>/",
        views.invitation_answer,
        name="invitation_answer",
    ),
    path("platform/accounts/", platform_views.accounts, name="accounts"),
    path("platform/accounts/<uuid:public_id>/", platform_views.account, name="account"),
    path(
        "platform/accounts/<uuid:public_id>/<str:verb>/",
        platform_views.account_act,
        name="account_act",
    ),
    path("people/<uuid:public_id>/", views.person, name="person"),
    path("people/<uuid:public_id>/roles/<int:pk>/take/", views.role_take, name="role_take"),
    path("people/<uuid:public_id>/link/", views.link, name="link"),
    path("partners/", views.partners, name="partners"),
    path("partners/new/", views.partner_new, name="partner_new"),
    path("partners/<uuid:public_id>/", views.partner, name="partner"),
    path("partners/<uuid:public_id>/switch/", views.partner_switch, name="partner_switch"),
    path("partners/<uuid:public_id>/secret/", views.partner_secret, name="partner_secret"),
]
