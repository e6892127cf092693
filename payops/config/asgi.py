"""ASGI entry point, for servers that prefer it; payops itself needs no WebSocket."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")

application = get_asgi_application()
