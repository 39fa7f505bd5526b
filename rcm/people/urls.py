from __future__ import annotations

from django.urls import path

from rcm.people import views

app_name = "people"
urlpatterns = [
    path("profile/", views.profile, name="profile"),
    path("people/", views.people, name="people"),
    path("people/invite/", views.invite, name="invite"),
    path("people/<uuid:public_id>/", views.person, name="person"),
    path("people/<uuid:public_id>/roles/<int:pk>/take/", views.role_take, name="role_take"),
    path("people/<uuid:public_id>/disable/", views.disable, name="disable"),
    path("people/<uuid:public_id>/enable/", views.enable, name="enable"),
    path("people/<uuid:public_id>/sign-out/", views.sign_out, name="sign_out"),
    path("people/<uuid:public_id>/second-factor/", views.second_factor, name="second_factor"),
    path("people/<uuid:public_id>/link/", views.link, name="link"),
    path("partners/", views.partners, name="partners"),
    path("partners/new/", views.partner_new, name="partner_new"),
    path("partners/<uuid:public_id>/", views.partner, name="partner"),
    path("partners/<uuid:public_id>/switch/", views.partner_switch, name="partner_switch"),
    path("partners/<uuid:public_id>/secret/", views.partner_secret, name="partner_secret"),
]
