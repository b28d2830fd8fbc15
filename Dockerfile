# One image. As it is, it runs the server; with another command, a worker:
#
#   docker run -e REDIS_HOST=redis cabrank
#   docker run -e REDIS_HOST=redis -e SMTP_HOST=smtp.example.org --no-healthcheck cabrank \
#     dramatiq workers -p 1 -t 20 --skip-logging --worker-shutdown-timeout 25000

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# Before the code, so that these layers stay as they are until a lock changes. Without pip: nothing is installed later.
COPY locks/service.lock locks/run.lock locks/
RUN python -m venv --without-pip /opt/cabrank \
 && python -m pip --python /opt/cabrank/bin/python install --require-hashes -r locks/service.lock
# What makes the stubs and the client's wheel stays behind in this stage.
RUN python -m venv --without-pip /opt/generators \
 && python -m pip --python /opt/generators/bin/python install --require-hashes -r locks/run.lock
COPY protos protos
COPY clients/python clients/python
RUN python -m pip --python /opt/generators/bin/python wheel --no-deps --no-build-isolation -w wheels clients/python \
 && python -m pip --python /opt/cabrank/bin/python install --no-deps --no-index wheels/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin cabrank
COPY --from=build /opt/cabrank /opt/cabrank
WORKDIR /srv/cabrank
COPY server server
COPY workers workers
# Now, because the user below may write nothing.
RUN python -m compileall -q server workers
ENV PATH=/opt/cabrank/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    GRPC_ADDRESS=0.0.0.0:50051 HTTP_ADDRESS=0.0.0.0:8080
USER 10001:10001
EXPOSE 50051 8080
# Whether the server's event loop answers. A worker has no port: docker-compose.yml switches this off for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s CMD ["python", "-c", "\
import http.client, os, sys; \
port = os.environ['HTTP_ADDRESS'].rpartition(':')[2]; \
server = http.client.HTTPConnection('127.0.0.1', port, timeout=2); \
server.request('GET', '/healthz'); \
sys.exit(server.getresponse().status != 200)"]
CMD ["python", "-m", "server"]
