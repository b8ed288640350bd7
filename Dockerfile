FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ENVIRONMENT=prod VAR_DIRECTORY=/var/lib/gateway
WORKDIR /app

COPY requirements/production.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/production.txt \
    && useradd --system --home-dir /app --shell /usr/sbin/nologin gateway \
    && install -d -o gateway -g gateway -m 750 /var/lib/gateway

COPY --chown=root:root . .
USER gateway
VOLUME /var/lib/gateway
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\", 8001)}/health', timeout=2)"]

# Secrets come from the environment or from SECRET_KEY_FILE and JWT_SECRET_KEY_FILE.
CMD ["python", "manage.py", "serve", "--init-db"]
