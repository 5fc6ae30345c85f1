# Two images: `services` (every service and the command line) and `operator`. Dependencies come first and
# code last, so that a change of code makes one small layer.
#
#   docker build --target services -t bellwether/services .
#
# BASE_IMAGE must bring Python 3.11 with venv. PIP_OPTIONS lets a build without network take its packages
# from a mounted folder: --no-index --find-links=/wheels.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS python
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/app/services:/app/operator \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
# The bytecode is compiled here: at run time the root file system is read-only.
RUN python3 -m venv /opt/venv \
 && echo 'bellwether:x:65532:65532:bellwether:/tmp:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'bellwether:x:65532:' >> /etc/group \
 && mkdir /app
WORKDIR /app

FROM python AS services-deps
ARG PIP_OPTIONS=""
# What keeps backups, where the base image does not bring it.
RUN command -v restic >/dev/null \
 || (apt-get update -q && apt-get install -qy --no-install-recommends restic && rm -rf /var/lib/apt/lists/*)
COPY requirements/services.txt /tmp/requirements/services.txt
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
    $PIP_OPTIONS -r /tmp/requirements/services.txt
COPY requirements/training.txt /tmp/requirements/training.txt
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
    $PIP_OPTIONS -r /tmp/requirements/training.txt

FROM python AS operator-deps
ARG PIP_OPTIONS=""
COPY requirements/operator.txt /tmp/requirements/operator.txt
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
    $PIP_OPTIONS -r /tmp/requirements/operator.txt

FROM services-deps AS services
COPY models /app/models
COPY services/bellwether /app/services/bellwether
RUN chmod -R a+rX /app && python -m compileall -q /app
USER 65532:65532
ENTRYPOINT ["python", "-m", "bellwether"]

FROM operator-deps AS operator
COPY services/bellwether /app/services/bellwether
COPY operator/bellwether_operator /app/operator/bellwether_operator
RUN chmod -R a+rX /app && python -m compileall -q /app
USER 65532:65532
ENTRYPOINT ["python", "-m", "bellwether_operator"]
