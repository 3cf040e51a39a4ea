"""Which app answers which path."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("billing.api.health_urls")),
    path("api/v1/", include("billing.api.urls")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("portal.urls")),
]

handler500 = "billing.api.problems.handler500"
