from accounts.models.access import Invitation, OutgoingMail, Session, TrustedDevice
from accounts.models.api_keys import ApiKey
from accounts.models.audit import AuditDetail, AuditEvent
from accounts.models.consents import Consent
from accounts.models.factors import Authenticator, RecoveryCode, RecoverySet
from accounts.models.organizations import Membership, Organization, Role
from accounts.models.single_sign_on import Identity, IdentityProvider
from accounts.models.users import User

__all__ = [
    "ApiKey",
    "AuditDetail",
    "AuditEvent",
    "Authenticator",
    "Consent",
    "Identity",
    "IdentityProvider",
    "Invitation",
    "Membership",
    "Organization",
    "OutgoingMail",
    "RecoveryCode",
    "RecoverySet",
    "Role",
    "Session",
    "TrustedDevice",
    "User",
]
