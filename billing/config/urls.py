"""Which app answers which path."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("billing.api.health_urls")),
    path("api/v1/", include("billing.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("portal.urls")),
]

handler500 = "billing.api.problems.handler500"
