"""What the sign-in page of a demonstration offers."""

from accounts.demo import DEMO_CODE, DEMO_PASSWORD, DEMO_SIGN_INS, accepts

__all__ = ["DEMO_CODE", "DEMO_PASSWORD", "DEMO_SIGN_INS", "accepts"]
