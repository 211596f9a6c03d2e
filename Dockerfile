# The serving image of one bundle. It holds Python, the bundle and what the bundle names: no torch, no git, nothing of the checkout.
#
#   docker build -t replies --build-arg BUNDLE=out/bundle .
#   docker run --rm --read-only --cap-drop=ALL -p 8080:8080 replies --release 3f9a1c
#
# BUNDLE is a path in the build context; the bundle's own folder is a context too: docker build -f Dockerfile out/bundle
# A private package index: --secret id=pip,src=pip.conf (seen by the installation only, kept in no layer).
# podman and buildah: add --format docker, or HEALTHCHECK is left out.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ARG BUNDLE=.
COPY ${BUNDLE}/requirements.txt /install/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv --without-pip /opt/headgate && \
    python3 -m pip --python /opt/headgate/bin/python install --no-cache-dir --no-deps --only-binary :all: -r /install/requirements.txt
COPY ${BUNDLE}/wheels/ /install/wheels/
RUN python3 -m pip --python /opt/headgate/bin/python install --no-cache-dir --no-deps --no-index /install/wheels/*.whl

FROM ${BASE_IMAGE}
ARG BUNDLE=.
COPY --from=build /opt/headgate /opt/headgate
COPY --chmod=0555 ${BUNDLE} /bundle
ENV PATH=/opt/headgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/ping', timeout=2)"]
# `headgate serve` without its command-line parser, which a bundle does not carry; later arguments win over these.
ENTRYPOINT ["python", "-m", "headgate.serving", "/bundle", "--host", "0.0.0.0", "--port", "8080"]
