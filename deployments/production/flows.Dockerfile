# The image of the flows: the checkout, with the locked dependencies of the extra `flows` and of Prefect's Kubernetes worker. It runs
# the flows, the worker, the Prefect server and what restarts lost runs (docs/production.md). The serving image is the Dockerfile at the top.
#
#   git archive HEAD | tar -x -C /tmp/clean          # a clean tree; or the checkout itself: only what the .dockerignore beside this lists goes in
#   docker build -t headgate-flows --build-arg COMMIT=$(git rev-parse HEAD) -f deployments/production/flows.Dockerfile .
#
# Packages, torch too, come from the index that pip is told of: --secret id=pip,src=pip.conf; without one PyPI, whose torch is the one for
# CUDA (several GB more); for the CPU build name PyTorch's index there. The index's certificate: --secret id=ca,src=ca.pem (kept in no layer).
# Wheels that no index has: --build-context wheels=DIR.
# podman and buildah: add --ignorefile deployments/production/flows.Dockerfile.dockerignore
#
# The digest is that of the multi-platform index of 2026-08-16. To renew: docker buildx imagetools inspect python:3.11-slim
ARG BASE_IMAGE=docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM scratch AS wheels

# The only stage that needs a network. Everything but torch is checked by its hash; torch's CPU and CUDA builds differ by machine.
FROM ${BASE_IMAGE} AS install
COPY requirements/bootstrap.txt requirements/torch.txt deployments/production/requirements.txt /lock/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -e /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca SSL_CERT_FILE=/run/secrets/ca; fi && \
    python3 -m venv /opt/headgate && python3 -m venv /opt/bootstrap && \
    pip="/opt/bootstrap/bin/python -m pip --python /opt/headgate/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes" && \
    /opt/bootstrap/bin/python -m pip install --no-cache-dir --require-hashes -r /lock/bootstrap.txt && \
    { /opt/bootstrap/bin/uv pip install --no-cache --python /opt/headgate/bin/python --no-deps --require-hashes -r /lock/requirements.txt \
    || $pip -r /lock/requirements.txt; }
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca --mount=type=bind,from=wheels,target=/wheels \
    if [ -e /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi && \
    /opt/headgate/bin/python -m pip install --no-cache-dir --no-compile --find-links /wheels -r /lock/torch.txt
# torch ships files that only later Pythons can read.
RUN /opt/headgate/bin/python -m compileall -q -x /torch/testing/ --invalidation-mode unchecked-hash /opt/headgate/lib && \
    chmod -R a+rX,go-w /opt/headgate
COPY . /opt/checkout
RUN /opt/headgate/bin/python -m pip install --no-cache-dir --no-deps --no-index --no-build-isolation -e /opt/checkout && \
    /opt/headgate/bin/python -m pip uninstall -q -y pip && \
    /opt/headgate/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/checkout && chmod -R a+rX,go-w /opt/checkout

FROM ${BASE_IMAGE}
ARG BASE_IMAGE
ARG COMMIT=unknown
COPY --from=install /opt/headgate /opt/headgate
COPY --from=install /opt/checkout /opt/checkout
LABEL org.opencontainers.image.base.name=${BASE_IMAGE} org.opencontainers.image.revision=${COMMIT}
# A pod's root is read-only (pools.py). What flows have to find again after a restart is in HEADGATE_HOME, a volume that outlives the pod.
ENV PATH=/opt/headgate/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HEADGATE_COMMIT=${COMMIT} HEADGATE_TOML=/etc/headgate/headgate.toml HEADGATE_HOME=/var/lib/headgate \
    PREFECT_HOME=/tmp/prefect PREFECT_RESULTS_LOCAL_STORAGE_PATH=/var/lib/headgate/results \
    PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 MLFLOW_DISABLE_TELEMETRY=true ORT_DISABLE_TELEMETRY=1 \
    MPLCONFIGDIR=/tmp/matplotlib OMP_WAIT_POLICY=PASSIVE
WORKDIR /opt/checkout
USER 10001:10001
