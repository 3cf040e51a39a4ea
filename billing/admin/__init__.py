"""The back office: where finance and support see everything and change only what services let them.

Nothing is imported here on purpose: Django builds the site from ``billing.admin.site`` the first time that any app
registers a page, and ``registry`` adds this app's pages once the site stands.
"""
