# The gateway as an image: a virtual environment of wheels, each checked against its hash, on a slim Python.
# Run it read-only:  docker run --read-only --tmpfs /tmp -v ./etc:/etc/meridian:ro -p 8080:8080 IMAGE
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Another index than pip's own: mount its configuration for the build and name it here. It stays out of the image.
ARG PIP_CONFIG_FILE
WORKDIR /src
# Two environments: the tools in one, what ships in the other, which therefore holds no pip.
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/meridian
COPY deploy/requirements/build.txt deploy/requirements/runtime.txt deploy/requirements/
RUN /tools/bin/python -m pip install --quiet --no-cache-dir --no-deps --only-binary :all: --require-hashes -r deploy/requirements/build.txt \
 && /tools/bin/python -m pip --python /opt/meridian/bin/python install --quiet --no-cache-dir --no-compile --no-deps --only-binary :all: \
      --require-hashes -r deploy/requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY config config
COPY gateway gateway
RUN /tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/python -m pip --python /opt/meridian/bin/python install --quiet --no-compile --no-deps --no-index /wheels/*.whl
# A read-only root can't cache bytecode, so it is made here; by hash and unchecked, because copying may change times.
RUN /opt/meridian/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/meridian/lib

FROM ${PYTHON_IMAGE}
# Nothing in the image can install anything: pip leaves with its bundled copies, wherever this base keeps them.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* /usr/local/bin/wheel \
      /usr/lib/python3/dist-packages/* /usr/lib/python3.*/ensurepip /usr/share/python-wheels /usr/bin/pip* \
 && mkdir /etc/meridian
COPY --from=build /opt/meridian /opt/meridian
ENV PATH=/opt/meridian/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_CONFIG=/etc/meridian/gateway.yaml
WORKDIR /etc/meridian
# By number, so that a cluster can see that it isn't root.
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["python3", "-ISc", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('GATEWAY_CONTROL_PORT', '8081')), timeout=2); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--host", "0.0.0.0"]
