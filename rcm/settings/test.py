"""Settings of the suite: the same servers and roles; quick hashing, no static manifest, a database
per runner.
"""

import os

from rcm.settings.base import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
SECURE_SSL_REDIRECT = False
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}  # noqa: F405
CELERY_BROKER_TRANSPORT_OPTIONS = {
    **CELERY_BROKER_TRANSPORT_OPTIONS,  # noqa: F405
    "global_keyprefix": "suite:",
}
# runs beside each other remember nothing of one another: the same number is another organization in
# another database
CACHES = {
    "default": {
        **CACHES["default"],  # noqa: F405
        "KEY_PREFIX": ":".join(
            [
                "suite",
                *(os.environ.get(n, "") for n in ("ISOCENTER_TEST_DB", "PYTEST_XDIST_WORKER")),
            ]
        ),
    }
}
# the suite creates and migrates its database as the owner; tests/conftest.py then switches to the
# application role
DATABASES = {"default": database_settings(DATABASE_OWNER_URL)}  # noqa: F405
DATABASES["default"]["TEST"] = {"NAME": os.environ.get("ISOCENTER_TEST_DB", "test_isocenter")}
APP_DATABASE = database_settings(DATABASE_URL)  # noqa: F405
