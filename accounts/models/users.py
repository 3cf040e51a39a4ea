from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils.crypto import salted_hmac

from accounts.ids import uuid7
from accounts.reading import DateStyle, NumberStyle


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A person who signs in by e-mail. Without a password nobody can sign in as them until one is set."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


class User(AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing]  # django-otp's.
    """One person, customer's or staff's. What they may do comes from memberships (customers) and groups (staff)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField("e-mail", max_length=254, unique=True)
    name = models.CharField(max_length=200, blank=True)
    timezone = models.CharField(
        max_length=64, blank=True, default="", help_text="In which they read; empty: that of whoever they act for."
    )
    language = models.CharField(
        max_length=8, blank=True, default="", help_text="In which they read; empty: what their browser asks for."
    )
    number_style = models.CharField(
        max_length=16, blank=True, default="", choices=NumberStyle, help_text="Empty: what is usual in the language."
    )
    date_style = models.CharField(
        max_length=16, blank=True, default="", choices=DateStyle, help_text="Empty: what is usual in the language."
    )
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("staff", default=False, help_text="May enter the back office.")
    created_at = models.DateTimeField(auto_now_add=True)
    security_epoch = models.PositiveIntegerField(
        default=0, editable=False, help_text="Grows when factors or roles change; sessions of an earlier one end."
    )
    failed_codes = models.PositiveIntegerField(
        default=0, editable=False, help_text="Second factors that failed since the last one that did not."
    )
    last_failed_code_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            # One spelling of each address, so that unique means what people think it means.
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="accounts_user_email_lower"),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.email = self.email.lower()
        super().save(*args, **kwargs)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session is bound to: the password, and what else ends every session when it changes."""
        bound = f"{self.password}:{self.security_epoch}"
        salt = "accounts.User.get_session_auth_hash"
        return salted_hmac(salt, bound, secret=secret, algorithm="sha256").hexdigest()

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] if self.name else self.email.partition("@")[0]
