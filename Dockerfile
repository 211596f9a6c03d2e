# The serving image of one bundle. It holds Python, the bundle and what the bundle names: no torch, no git, no pip, no compiler,
# nothing of the checkout. docs/bundle.md tells how to build, sign and run it; a build without the two digests names them.
#
#   docker build -t replies --build-arg BUNDLE=out/bundle --build-arg BUNDLE_DIGEST=3f9a... --build-arg COMMIT=c0ff... .
#   docker run --rm --read-only --cap-drop=ALL -p 8080:8080 replies --release 3f9a1c
#
# BUNDLE is a path in the build context; the bundle's own folder is a context too: docker build -f Dockerfile out/bundle
# RUNTIME_USER=root makes the variant that SageMaker wants; `serve` is how it starts it (docs/aws.md).
# A private package index: --secret id=pip,src=pip.conf; its certificate: --secret id=ca,src=ca.pem (kept in no layer).
# No index at all: --build-context wheelhouse=DIR with the wheels that requirements.txt names.
# podman and buildah: add --format docker, or HEALTHCHECK is left out.
#
# The digest is that of the multi-platform index of 2026-08-16. To renew: docker buildx imagetools inspect python:3.11-slim
ARG BASE_IMAGE=docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

# Verified before anything is installed from it: the code that does it is in the bundle's own wheel, and needs nothing else.
FROM ${BASE_IMAGE} AS bundle
ARG BUNDLE=.
COPY ${BUNDLE}/ /bundle/
ARG BUNDLE_DIGEST
ARG COMMIT
RUN PYTHONPATH=$(echo /bundle/wheels/headgate-*.whl) python3 -B -c "import sys; from headgate.model.bundle import open_bundle; \
bundle = open_bundle('/bundle'); found = [bundle.digest, bundle.provenance.get('commit') or '']; \
sys.exit(0 if found == sys.argv[1:] else 'expected --build-arg BUNDLE_DIGEST=%s --build-arg COMMIT=%s' % tuple(found))" \
    "${BUNDLE_DIGEST}" "${COMMIT}" && \
    chmod -R a+rX,go-w /bundle

# The only stage that needs a network.
FROM ${BASE_IMAGE} AS download
COPY --from=bundle /bundle/requirements.txt /lock/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
    if [ -e /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi && \
    python3 -m pip download --no-cache-dir --no-deps --only-binary :all: --require-hashes --dest /wheelhouse -r /lock/requirements.txt

FROM scratch AS wheelhouse
COPY --from=download /wheelhouse /

# Installed without an index, and cut down to what serving imports.
FROM ${BASE_IMAGE} AS install
COPY --from=wheelhouse / /wheelhouse/
COPY --from=bundle /bundle/requirements.txt /bundle/
COPY --from=bundle /bundle/wheels/ /bundle/wheels/
RUN python3 -m venv --without-pip /opt/headgate && \
    pip="python3 -m pip --python /opt/headgate/bin/python install --no-cache-dir --no-compile --no-deps --no-index" && \
    $pip --find-links /wheelhouse --require-hashes -r /bundle/requirements.txt && $pip /bundle/wheels/*.whl
RUN cd /opt/headgate/lib/python3*/site-packages && \
    rm -rf onnxruntime/quantization onnxruntime/tools onnxruntime/transformers onnxruntime/datasets onnxruntime/backend numpy/f2py && \
    find . -depth \( -name tests -o -name __pycache__ -o -path '*/numpy/*/include' \) -type d -exec rm -rf {} + && \
    find . \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.a' \) -type f -delete && \
    /opt/headgate/bin/python -m compileall -q --invalidation-mode unchecked-hash . && \
    chmod -R a+rX,go-w /opt/headgate

# The base without its package installers, papers and (of a plain Debian) all of Perl but perl-base.
FROM ${BASE_IMAGE} AS base
RUN if dpkg -s python3-pip >/dev/null 2>&1; \
    then apt-mark manual python3 && apt-get purge -q -y --auto-remove python3-pip python3-venv && \
        dpkg --purge --force-depends $(dpkg-query -Wf '${db:Status-Abbrev} ${Package}\n' usrmerge perl 'perl-modules-*' 'libperl5*' 'lib*-perl' 2>/dev/null | sed -n 's/^ii *//p'); \
    else python3 -m pip uninstall -q -y pip setuptools wheel; fi && \
    rm -rf /usr/local/bin/pip* /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
        /usr/local/lib/python3*/test /usr/local/lib/python3*/idlelib /usr/local/lib/python3*/turtledemo \
        /usr/share/doc/* /usr/share/info/* /usr/share/locale/* /usr/share/man/* /usr/share/python-wheels \
        /var/cache/* /var/lib/apt/lists/* /var/log/* /root/.cache /tmp/*
# A name for the user; and buildah's cache, which does not look at the argument in USER, sees another base.
ARG RUNTIME_USER=10001:10001
RUN if [ "${RUNTIME_USER}" != root ]; then echo "headgate:x:${RUNTIME_USER}::/:/usr/sbin/nologin" >> /etc/passwd; fi

FROM scratch
ARG BASE_IMAGE
ARG BUNDLE_DIGEST
ARG COMMIT
ARG RUNTIME_USER=10001:10001
COPY --from=base / /
COPY --from=install /opt/headgate /opt/headgate
COPY --from=bundle /bundle /bundle
LABEL org.opencontainers.image.base.name=${BASE_IMAGE} \
    org.opencontainers.image.revision=${COMMIT} \
    io.headgate.bundle.digest=sha256:${BUNDLE_DIGEST}
ENV PATH=/opt/headgate/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER ${RUNTIME_USER}
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/ping', timeout=2)"]
# `headgate serve` without its command-line parser, which a bundle does not carry; later arguments win over these.
ENTRYPOINT ["python", "-m", "headgate.serving", "/bundle", "--host", "0.0.0.0", "--port", "8080"]
