from unfold.sites import UnfoldAdminSite


class BackOfficeSite(UnfoldAdminSite):
    """Where finance works."""

    site_title = "Ante"
    site_header = "Ante back office"
    index_title = "Today"
