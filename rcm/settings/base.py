"""One settings file for every place: what differs comes from the environment (docs/operations.md
lists each name).

Without DATABASE_URL the endpoints of this checkout's embedded PostgreSQL and Redis are asked for
(rcm.embedded).
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from rcm.audit.logs import allow_listed
from rcm.settings import production

BASE_DIR = Path(__file__).resolve().parents[2]
env = environ.Env()

# --- where the servers are ------------------------------------------------------------------------
EMBEDDED = not env.str("DATABASE_URL", default="")
if EMBEDDED:
    from rcm.embedded import endpoints

    _ends = endpoints(BASE_DIR)
    DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL = (
        _ends.database_url,
        _ends.owner_database_url,
        _ends.redis_url,
    )
else:
    DATABASE_URL = env.str("DATABASE_URL")
    DATABASE_OWNER_URL = env.str("DATABASE_OWNER_URL", default=DATABASE_URL)
    REDIS_URL = env.str("REDIS_URL")

DEBUG = env.bool("DJANGO_DEBUG", default=False)
DEMO = env.bool("ISOCENTER_DEMO", default=EMBEDDED)
PRODUCTION = not DEMO
DEMO_KEYS = {
    "DJANGO_SECRET_KEY": "demo-only-" + "k" * 60,
    "ISOCENTER_FIELD_KEYS": "2r0vTS9ZbJmA3V8r1xq9bJcQyq1iYp2l2mXw0r2k0dE=",
}
SECRET_KEY = env.str("DJANGO_SECRET_KEY", default=DEMO_KEYS["DJANGO_SECRET_KEY"] if DEMO else "")
FIELD_KEYS = env.list(
    "ISOCENTER_FIELD_KEYS", default=[DEMO_KEYS["ISOCENTER_FIELD_KEYS"]] if DEMO else []
)
ALLOWED_HOSTS = env.list(
    "ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]", "testserver"] if DEMO else []
)
if PRODUCTION:
    _faults = list(
        production.faults(
            production.Chosen(
                secret_key=SECRET_KEY,
                field_keys=FIELD_KEYS,
                demo_keys=DEMO_KEYS.values(),
                debug=DEBUG,
                allowed_hosts=ALLOWED_HOSTS,
                redis_url=REDIS_URL,
                metrics_token=env.str("ISOCENTER_METRICS_TOKEN", default=""),
            )
        )
    )
    if _faults:
        raise ImproperlyConfigured(
            "Production needs other settings (ISOCENTER_DEMO=yes is only for a demonstration with"
            " invented patients):\n- " + "\n- ".join(_faults)
        )
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# what signs the anchors of the audit log, and where they are kept: outside the database, best where
# whoever rules the database cannot write (a mounted write-once bucket, another machine, a mailbox)
AUDIT_KEY = env.str("ISOCENTER_AUDIT_KEY", default=SECRET_KEY)
AUDIT_ANCHORS = env.str("ISOCENTER_AUDIT_ANCHORS", default=str(BASE_DIR / "var" / "audit-anchors"))
AUDIT_ANCHOR_MAIL = env.str("ISOCENTER_AUDIT_ANCHOR_MAIL", default="")

# who may read /metrics; without it there is no such page
METRICS_TOKEN = env.str("ISOCENTER_METRICS_TOKEN", default="")

INSTALLED_APPS = [
    "rcm.web",
    "rcm.accounts",
    "rcm.audit",
    "rcm.people",
    "rcm.reference",
    "rcm.pricing",
    "rcm.jobs",
    "rcm.ledger",
    "rcm.exchange",
    "rcm.network",
    "rcm.worklist",
    "rcm.operations",
    "rcm.x12",
    "rcm.simulator",
    "intake",
    "authorizations",
    "charges",
    "claims",
    "remittance",
    "ar",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "oauth2_provider",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "template_partials",
    "django_prometheus",
    "django_structlog",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    # last: it opens the request's transaction and tenant scope around the view
    "rcm.accounts.middleware.ScopeMiddleware",
    "rcm.web.middleware.ChosenScopeMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "rcm.urls"
WSGI_APPLICATION = "rcm.wsgi.application"
FORM_RENDERER = "rcm.web.forms.HouseRenderer"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "rcm.web.context.shell",
            ],
        },
    }
]

# --- database: default is the role that row-level security binds; schema commands connect as the ow
CONNECT_AS = env.str("ISOCENTER_CONNECT_AS", default="app")


def database_settings(url: str) -> dict:
    settings: dict = environ.Env.db_url_config(url)
    settings["ENGINE"] = "django.db.backends.postgresql"
    settings["CONN_MAX_AGE"] = 60
    settings["CONN_HEALTH_CHECKS"] = True
    settings.setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
    return settings


DATABASES = {
    "default": database_settings(DATABASE_OWNER_URL if CONNECT_AS == "owner" else DATABASE_URL)
}
DATABASE_APP_ROLE = env.str("DATABASE_APP_ROLE", default="isocenter_app")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- cache: shared, because rate limits and one-time codes live in it -----------------------------
CACHES = {
    "default": {
        "BACKEND": "rcm.accounts.cache.ShelteredCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "iso",
        # a dead Redis is told at once: the client's own retries would hold a request for seconds
        "OPTIONS": {
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
            "retry": Retry(NoBackoff(), 1),
        },
    }
}

# --- sign-in --------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_FORMS = {
    "login": "rcm.web.signin.LoginForm",
    "reset_password": "rcm.web.signin.ResetPasswordForm",
    "reset_password_from_key": "rcm.web.signin.ResetPasswordKeyForm",
    "change_password": "rcm.web.signin.ChangePasswordForm",
    "reauthenticate": "rcm.web.signin.ReauthenticateForm",
    "add_email": "rcm.web.signin.AddEmailForm",
}
MFA_FORMS = {
    "authenticate": "rcm.web.signin.CodeForm",
    "reauthenticate": "rcm.web.signin.CodeAgainForm",
    "activate_totp": "rcm.web.signin.ActivateForm",
}
# wrong passwords are counted by rcm.accounts.attempts; here only a flood from one address is stopped
ACCOUNT_RATE_LIMITS = {"login": "600/m/ip", "login_failed": "600/m/ip"}
MFA_PASSKEY_LOGIN_ENABLED = True
ACCOUNT_ADAPTER = "rcm.accounts.adapter.ClosedAccountAdapter"
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = False
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
MFA_ADAPTER = "rcm.accounts.adapter.SealedMfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
USERSESSIONS_TRACK_ACTIVITY = True
SESSION_COOKIE_AGE = env.int(
    "SESSION_IDLE_SECONDS", default=15 * 60
)  # idle sign-off (rule `session-security`)
SESSION_ABSOLUTE_SECONDS = env.int("SESSION_ABSOLUTE_SECONDS", default=12 * 3600)
SESSION_ENGINE = "rcm.accounts.sessions"
SESSION_SAVE_EVERY_REQUEST = True
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = True
PASSWORD_RESET_TIMEOUT = 3600

# --- transport and headers ------------------------------------------------------------------------
SECURE_SSL = env.bool("SECURE_SSL", default=PRODUCTION)
SECURE_SSL_REDIRECT = SECURE_SSL
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_SSL else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_SSL
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "rcm.web.views.csrf_failure"
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'"],
        "script-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
UPLOAD_LIMIT_BYTES = env.int("UPLOAD_LIMIT_BYTES", default=120 * 1024 * 1024)

# --- language, time, files ------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", default="America/Chicago")
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media")))
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "rcm.web.assets.BuiltAssetsFinder",
]
WHITENOISE_USE_FINDERS = DEMO
# a demonstration prints its mail among the lines of its processes; nobody is written to
EMAIL_BACKEND = env.str(
    "EMAIL_BACKEND",
    default=f"django.core.mail.backends.{'console' if DEMO else 'smtp'}.EmailBackend",
)
EMAIL_HOST, EMAIL_PORT = (
    env.str("EMAIL_HOST", default="localhost"),
    env.int("EMAIL_PORT", default=25),
)
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = (
    env.str("EMAIL_HOST_USER", default=""),
    env.str("EMAIL_HOST_PASSWORD", default=""),
)
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="isocenter@localhost")
# where patients reach the product: the beginning of the link in a mail to them
PUBLIC_URL = env.str("PUBLIC_URL", default="http://127.0.0.1:8000")
EMAIL_FILE_PATH = str(BASE_DIR / "var" / "mail")

# --- celery: the broker may be lost at any time, see rcm.exchange.outbox --------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": env.int("CELERY_VISIBILITY_TIMEOUT", default=120),
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "retry_on_timeout": True,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_PUBLISH_RETRY = False  # the outbox repeats; a request never waits for the broker
CELERY_TASK_DEFAULT_QUEUE = "batch"
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
BEAT_LONGEST_SECONDS = env.float(
    "BEAT_LONGEST_SECONDS", default=0.0
)  # periodic work at least this often; 0: as each app declares
CELERY_BEAT_SCHEDULER = "rcm.operations.beats.Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_BEAT_SCHEDULE_FILENAME = str(BASE_DIR / "var" / "celerybeat-schedule")

# --- REST -----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rcm.accounts.partners.PartnerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rcm.accounts.partners.ScopedPermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rcm.accounts.rest.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "rcm.accounts.problems.problem_handler",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1200/min"},
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Isocenter API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_PUBLIC": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "CoverageStatus": "intake.models.CoverageStatus",
        "OrderStatus": "intake.models.OrderStatus",
        "AppointmentStatus": "intake.models.AppointmentStatus",
        "CheckStatus": "intake.models.CheckStatus",
        "AuthorizationStatus": "authorizations.models.AuthStatus",
        "ExamStatus": "charges.models.ExamStatus",
        "ReportStatus": "charges.models.ReportStatus",
        "ResultStatus": "charges.models.UnsolicitedStatus",
        "ChargeStatus": "charges.models.ChargeStatus",
        "ClaimStatus": "claims.models.ClaimStatus",
        "RemittanceStatus": "remittance.models.RemittanceStatus",
        "DenialStatus": "remittance.models.DenialStatus",
        "ItemStatus": "rcm.worklist.models.ItemStatus",
    },
}
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth2_provider.AccessToken"
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "oauth2_provider.IDToken"
OAUTH2_PROVIDER_GRANT_MODEL = "oauth2_provider.Grant"
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth2_provider.RefreshToken"
OAUTH2_PROVIDER: dict[str, Any] = {
    "SCOPES": {
        "orders:read": "Read orders and appointments",
        "orders:write": "Create orders",
        "authorizations:write": "Request authorizations and record decisions",
        "overrides:write": "Let a visit pass a gate, with a reason",
        "payments:read": "Read patient payments and receipts",
        "payments:write": "Take and void patient payments",
        "exams:read": "Read exams and their thread",
        "exams:write": "Record performed exams",
        "reports:write": "Send reports",
        "claims:read": "Read claims and acknowledgements",
        "claims:write": "Scrub, submit and correct claims",
        "remittances:read": "Read remittances",
        "remittances:write": "Upload and post remittances",
        "work:read": "Read work items",
        "work:write": "Work items: note, next action, close",
        "rules:read": "Quote prices, match, scrub, read edits",
    },
    "ACCESS_TOKEN_EXPIRE_SECONDS": 1800,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,  # hashes only
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,  # never in an address
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    "SCOPES_BACKEND_CLASS": "rcm.accounts.partners.PartnerScopes",
    "OAUTH2_VALIDATOR_CLASS": "rcm.accounts.partners.PartnerValidator",
}

# --- logs: names, ids and counts only -------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"scrub": {"()": "rcm.audit.logs.ScrubFilter"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["scrub"]}
    },
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.db.backends": {"level": "ERROR"},
        "pyx12": {"level": "CRITICAL"},
        "pynetdicom": {"level": "WARNING"},
        "django_structlog": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        allow_listed,
        structlog.stdlib.add_log_level,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DEFAULT_EXCEPTION_REPORTER_FILTER = "rcm.audit.logs.SilentReporterFilter"

# --- the product ----------------------------------------------------------------------------------
SIMULATOR_URL = env.str("SIMULATOR_URL", default="http://127.0.0.1:8010")
MLLP_HOST, MLLP_PORT = env.str("MLLP_HOST", default="127.0.0.1"), env.int("MLLP_PORT", default=2575)
DICOM_HOST, DICOM_PORT = (
    env.str("DICOM_HOST", default="127.0.0.1"),
    env.int("DICOM_PORT", default=11112),
)
MLLP_MAX_BYTES = env.int("MLLP_MAX_BYTES", default=32 * 1024 * 1024)
MLLP_TLS_CERTIFICATE, MLLP_TLS_KEY = (
    env.str("MLLP_TLS_CERTIFICATE", default=""),
    env.str("MLLP_TLS_KEY", default=""),
)
MLLP_TLS_CLIENT_AUTHORITY = env.str("MLLP_TLS_CLIENT_AUTHORITY", default="")
DICOM_AE_TITLE = env.str("DICOM_AE_TITLE", default="ISOCENTER")
# whose messages name no organization; hosts ("host:port") that may be called although they are not
# public (none: the demo's simulator)
EXCHANGE_DEFAULT_ORGANIZATION = env.str("EXCHANGE_DEFAULT_ORGANIZATION", default="")
EXCHANGE_TRUSTED_HOSTS = env.list("EXCHANGE_TRUSTED_HOSTS", default=None)
# while the demo's past is replayed: up to this moment events and messages are the replay's
_since = env.str("ISOCENTER_SINCE", default="")
EXCHANGE_SINCE = datetime.fromisoformat(_since) if _since else None
# where the replay writes how far it is; the pages say it
DEMO_PROGRESS = env.str("ISOCENTER_DEMO_PROGRESS", default="")
LEASE = timedelta(minutes=20)
SILENCED_SYSTEM_CHECKS = ["account.W001"]
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rcm.settings")
