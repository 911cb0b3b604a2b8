"""A Django project in one file: a token of django-rest-knox, and a view that tells whose it is.

Run as a program it makes the database, a user and a token.
"""

import os
from pathlib import Path

import django  # type: ignore[import-not-found]
from django.conf import settings  # type: ignore[import-not-found]
from django.core.asgi import get_asgi_application  # type: ignore[import-not-found]
from django.core.wsgi import get_wsgi_application  # type: ignore[import-not-found]
from django.urls import path  # type: ignore[import-not-found]

FOLDER = Path(os.environ["BENCH_FOLDER"])

settings.configure(
    SECRET_KEY=os.environ["BENCH_PASSWORD"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework", "knox"],
    MIDDLEWARE=[],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": FOLDER / "knox.sqlite3",
            "CONN_MAX_AGE": None,  # connections are kept
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"},
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup()

from rest_framework.decorators import api_view  # type: ignore[import-not-found]  # noqa: E402 - needs the settings
from rest_framework.request import Request  # type: ignore[import-not-found]  # noqa: E402
from rest_framework.response import Response  # type: ignore[import-not-found]  # noqa: E402


@api_view(["GET"])  # type: ignore[untyped-decorator]
def user(request: Request) -> Response:
    """Tell whose the presented token is."""
    return Response({"id": request.user.id, "username": request.user.get_username(), "email": request.user.email})


urlpatterns = [path("user", user)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()


def main() -> None:
    """Make the database, a user and a token."""
    from django.contrib.auth import get_user_model  # type: ignore[import-not-found]  # noqa: PLC0415 - needs the settings
    from django.core.management import call_command  # type: ignore[import-not-found]  # noqa: PLC0415
    from knox.models import AuthToken  # type: ignore[import-not-found]  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    wanda = get_user_model().objects.create_user("wanda", "wanda@example.com")
    _, token = AuthToken.objects.create(user=wanda, expiry=None)
    (FOLDER / "knox-token").write_text(token)


if __name__ == "__main__":
    main()
