# Build: sre/image, or docker build --build-arg REVISION="$(git rev-parse HEAD)" .
ARG PYTHON_IMAGE=docker.io/library/python:3.13.15-slim-trixie

# --- Build: dependencies into a virtual environment, static files collected ------------
FROM ${PYTHON_IMAGE} AS build
ENV PYTHONDONTWRITEBYTECODE=1

# pip stays in an environment of its own, so that the one that is shipped has none.
RUN python -m venv /pip && python -m venv --without-pip /venv
WORKDIR /app
COPY requirements.txt .
# The optional secret is for those whose packages come from an index of their own.
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    /pip/bin/pip --python /venv/bin/python install --no-cache-dir --require-hashes \
      --no-deps --only-binary :all: --requirement requirements.txt \
    # botocore describes 400 services; this one speaks to S3, and to what gives it a role.
    && find /venv/lib/python3.*/site-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
      ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -r {} + \
    # Translations, which USE_I18N = False leaves unread, and sources of compiled modules.
    && find /venv \( -name '*.[mp]o' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' \) -delete

COPY manage.py .
COPY mirrorsite mirrorsite
COPY transforms transforms
COPY uploads uploads
# Settings require these; they are thrown away with this command.
RUN SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(64))')" \
    AWS_STORAGE_BUCKET_NAME=unused DATABASE_URL=postgresql://unused/unused STATIC_ROOT=/app/static \
      /venv/bin/python manage.py collectstatic --no-input \
    && /venv/bin/python -m compileall -q manage.py mirrorsite transforms uploads

# --- The image -------------------------------------------------------------------------
FROM ${PYTHON_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mirrorsite" \
      org.opencontainers.image.description="Proves that a platform works end to end, with an upload audit trail that can itself be proven." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The root file system may be read-only: all that is written goes to /tmp and /dev/shm.
# The number of processors is the host's, not the container's share, so the number of workers
# is fixed.
ENV PATH="/venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    BIND=0.0.0.0:4545 \
    STATIC_ROOT=/app/static \
    WEB_CONCURRENCY=4
WORKDIR /app
COPY --from=build /venv /venv
COPY --from=build /app /app
USER 10001:10001
EXPOSE 4545
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-m", "mirrorsite.container_health"]
CMD ["gunicorn", "--config", "python:mirrorsite.gunicorn_conf"]
