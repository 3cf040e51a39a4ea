"""What the other parts ask for, and what all of them hang on."""

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parents[3]
env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
DEMO = env.bool("ANTE_DEMO", default=False)
"""Demonstration data and the sign-ins shown on the first page. Never set it where real money is."""

TEST_MODE = env.bool("ANTE_TEST", default=False)
"""Whether all of this is for trying out: test keys are made and accepted, live ones refused. Else the reverse."""

BASE_URL: str = env.str("BASE_URL", default="http://127.0.0.1:8000")
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
HTTPS = BASE_URL.startswith("https://")
HOST = (
    BASE_URL.partition("://")[2].partition("/")[0].rpartition(":")[0] or BASE_URL.partition("://")[2].partition("/")[0]
)
REDIS_URL: str = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")
