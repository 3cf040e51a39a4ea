"""What the sign-in page of a demonstration offers."""

from accounts.demo import DEMO_PASSWORD, DEMO_SIGN_INS

__all__ = ["DEMO_PASSWORD", "DEMO_SIGN_INS"]
