"""Django's settings, all of them from :func:`gateway_project.env.get_settings`.

Code that needs a gateway setting reads ``django.conf.settings.GATEWAY``, the typed
:class:`~gateway_project.env.Settings`; code above Django calls ``get_settings()``.
"""

from __future__ import annotations

import warnings

from csp.constants import NONE, SELF, UNSAFE_INLINE

from gateway_project import compiled
from gateway_project.databases import choose_drivers, databases
from gateway_project.env import SettingsError, get_settings
from gateway_project.env_files import PROJECT_DIRECTORY
from gateway_project.places import make_var_directory, try_log_files
from gateway_project.redis_place import redis_place
from gateway_project.unfold import UNFOLD as UNFOLD

try:
    GATEWAY = get_settings()
    DATABASES = databases(GATEWAY)
    DATA_PLANE = compiled.install(GATEWAY.compiled_data_plane)
    choose_drivers(DATABASES)
    # SQLite, last good document and sockets need the directory before any command runs.
    make_var_directory(GATEWAY.var_directory)
    try_log_files(GATEWAY)
except SettingsError as error:
    # Also under servers that know nothing of manage.py: one line, no traceback.
    raise SystemExit(str(error)) from None

REDIS = redis_place(GATEWAY)
BASE_DIR = PROJECT_DIRECTORY

DEBUG = GATEWAY.debug
SECRET_KEY = GATEWAY.secret_key
ALLOWED_HOSTS = list(GATEWAY.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(GATEWAY.csrf_trusted_origins)

INSTALLED_APPS = [
    # First: its runserver is Daphne's, with the gateway's port. Daphne itself is no app here: it
    # would load Twisted into every process.
    "gateway_project",
    "unfold",  # before the admin whose templates it replaces
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "django_prometheus",
    "audit",
    "routing",
    "keys",
    "quotas",
    "proxying",
]
WORKER_APPS = [
    # What a data-plane process of `serve` loads instead: our models and those they refer to.
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "audit",
    "routing",
    "keys",
    "quotas",
    "proxying",
]

MIDDLEWARE = [
    "audit.middleware.RequestIdMiddleware",  # first: every answer has one
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gateway_project.content_policy.ContentPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "audit.middleware.AuditMiddleware",
    "gateway_project.repeating.RepeatingMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it turns a lock-out into the answer
]

ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"

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
            ],
        },
    },
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FIXTURE_DIRS = [BASE_DIR / "fixtures"]

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# The address is the one the gateway established; X-Forwarded-For is never read a second time.
AXES_IPWARE_META_PRECEDENCE_ORDER = ["REMOTE_ADDR"]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_RESET_ON_SUCCESS = True
AXES_SENSITIVE_PARAMETERS = ["password", "refresh"]
AXES_VERBOSE = False

LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
FORMAT_MODULE_PATH = ["gateway_project.formats"]
USE_TZ = True

STATIC_URL = "/admin/static/"
# Served straight from the installed packages: a node needs no collectstatic.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
# WhiteNoise streams files synchronously; Django reads them in a thread and says so each time.
warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")

SESSION_ENGINE = "gateway_project.sessions"
SESSION_COOKIE_NAME = "gateway_session"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = GATEWAY.admin_https
SECURE_HSTS_SECONDS = 31_536_000 if GATEWAY.admin_https else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "rest_framework.authentication.BasicAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 100,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Gateway",
    "DESCRIPTION": "The gateway's configuration, over the same models as the admin.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",  # the document's own schema is JSON Schema 2020-12, which 3.0 is not
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAdminUser"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    # Of limits and of records alike.
    "ENUM_NAME_OVERRIDES": {"PeriodEnum": ["second", "minute", "hour", "day"]},
}

PROMETHEUS_EXPORT_MIGRATIONS = False
LOGGING_CONFIG: str | None = "gateway_project.logs.configure_for_django"
LOGGING = {"settings": GATEWAY}
