"""gunicorn in production: ``gunicorn -c deploy/gunicorn.conf.py payops.config.wsgi``."""

import multiprocessing
import os

bind = os.environ.get("PAYOPS_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("PAYOPS_WEB_PROCESSES", str(multiprocessing.cpu_count() + 1)))
threads = 4
timeout = 120
# Fresh processes now and then: a slow leak in any library never matters.
max_requests = 5000
max_requests_jitter = 500
accesslog = "-"
forwarded_allow_ips = os.environ.get("PAYOPS_PROXY_ADDRESSES", "127.0.0.1")
