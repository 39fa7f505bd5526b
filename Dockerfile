# One image for every process of docker-compose.yml; the command decides which it is.
FROM python:3.11-slim AS wheels
WORKDIR /build
COPY requirements.lock .
RUN python -m venv /opt/isocenter \
    && /opt/isocenter/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements.lock

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin isocenter
COPY --from=wheels /opt/isocenter /opt/isocenter
ENV PATH=/opt/isocenter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=rcm.settings
WORKDIR /srv/isocenter
COPY . .
# Static files are made with the image. These values open nothing: no server is asked, no secret is kept.
RUN mkdir -p var/media var/mail var/audit-anchors \
    && DATABASE_URL=postgresql://build@127.0.0.1/build REDIS_URL=redis://127.0.0.1/0 ISOCENTER_DEMO=yes \
       python manage.py collectstatic --no-input \
    && chown -R isocenter var
USER isocenter
CMD ["gunicorn", "rcm.wsgi:application", "--preload", "--workers", "2", "--threads", "4", "--log-level", "warning"]
