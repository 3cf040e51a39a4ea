"""Paths of version 1 of the API."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from billing.api import (
    authorizations,
    catalog,
    costs,
    customers,
    drafts,
    events,
    funding,
    problems,
    subscriptions,
    usage,
)

urlpatterns = [
    path("customers", customers.CustomersView.as_view()),
    path("customers/<str:external_id>", customers.CustomerView.as_view()),
    path("customers/<str:external_id>/wallet", customers.WalletView.as_view()),
    path("customers/<str:external_id>/grants", customers.GrantsView.as_view()),
    path("customers/<str:external_id>/ledger", customers.LedgerView.as_view()),
    path("grants/<uuid:grant_id>/void", customers.GrantVoidView.as_view()),
    path("assets", catalog.AssetsView.as_view()),
    path("meters", catalog.MetersView.as_view()),
    path("plans", catalog.PlansView.as_view()),
    path("plans/<str:code>", catalog.PlanView.as_view()),
    path("plans/<str:code>/versions", catalog.PlanVersionsView.as_view()),
    path("plans/<str:code>/drafts", drafts.DraftsView.as_view()),
    path("plans/<str:code>/drafts/<uuid:draft_id>", drafts.DraftView.as_view()),
    path("plans/<str:code>/drafts/<uuid:draft_id>/publish", drafts.DraftPublishView.as_view()),
    path("provider-costs", costs.ProviderCostsView.as_view()),
    path("subscriptions", subscriptions.SubscriptionsView.as_view()),
    path("subscriptions/<uuid:subscription_id>", subscriptions.SubscriptionView.as_view()),
    path("subscriptions/<uuid:subscription_id>/change", subscriptions.ChangeView.as_view()),
    path("subscriptions/<uuid:subscription_id>/preview-change", subscriptions.PreviewChangeView.as_view()),
    path("subscriptions/<uuid:subscription_id>/cancel", subscriptions.CancelView.as_view()),
    path("subscriptions/<uuid:subscription_id>/reactivate", subscriptions.ReactivateView.as_view()),
    path("subscriptions/<uuid:subscription_id>/periods", subscriptions.PeriodsView.as_view()),
    path("events", events.EventsView.as_view()),
    path("events/<path:event_id>", events.EventView.as_view()),
    path("authorizations", authorizations.AuthorizationsView.as_view()),
    path("authorizations/<uuid:authorization_id>", authorizations.AuthorizationView.as_view()),
    path("authorizations/<uuid:authorization_id>/capture", authorizations.CaptureView.as_view()),
    path("authorizations/<uuid:authorization_id>/void", authorizations.VoidView.as_view()),
    path("customers/<str:external_id>/top-ups", funding.TopUpsView.as_view()),
    path("customers/<str:external_id>/payment-methods", funding.PaymentMethodsView.as_view()),
    path("customers/<str:external_id>/payment-methods/<str:method_id>", funding.PaymentMethodView.as_view()),
    path("top-ups/<uuid:top_up_id>", funding.TopUpView.as_view()),
    path("top-ups/<uuid:top_up_id>/refund", funding.RefundView.as_view()),
    path("packs", funding.PacksView.as_view()),
    path("webhooks/stripe", funding.stripe_webhook),
    path("usage", usage.UsageView.as_view()),
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api-schema"), name="api-docs"),
    re_path(r"^[\s\S]*$", problems.not_found),  # Line breaks too.
]
