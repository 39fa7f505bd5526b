"""POST /pricing/quote: what a payer should pay, line by line, in words (issue of the engines,
section 3).
"""

from __future__ import annotations

from typing import ClassVar

from django.urls import path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rcm.accounts.partners import PartnerView
from rcm.accounts.problems import problem
from rcm.pricing import services


class QuoteView(PartnerView, APIView):
    """Expected payment of the lines of one session, each with its derivation."""

    scopes: ClassVar[dict[str, str]] = {"POST": "rules:read"}

    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT, 422: OpenApiTypes.OBJECT},
        operation_id="pricing_quote",
    )
    def post(self, request: Request) -> Response:
        answer = services.quote(payload=request.data, actor=self.actor)
        if answer.get("errors"):
            return problem(422, "The question has faults.", code="invalid", errors=answer["errors"])
        return Response(answer)


urlpatterns = [path("pricing/quote", QuoteView.as_view(), name="pricing-quote")]
