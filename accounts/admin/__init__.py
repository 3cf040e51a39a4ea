"""People and access in the back office, a module for each subject."""

from accounts.admin import keys, letters, organizations, people, providers, trail

__all__ = ["keys", "letters", "organizations", "people", "providers", "trail"]
