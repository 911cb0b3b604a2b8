# Latchkey with its console: docs/containers.md says how to run it, and tests/supply keeps it honest.
# The Python that the tests run on. A digest makes it the same base each time:
# `docker build --build-arg PYTHON=python:3.11-slim-bookworm@sha256:… .`
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /latchkey
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN python -m pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
COPY pyproject.toml uv.lock ./
# What serves, and beside it Node, which builds the console and is not in the image.
RUN uv sync --frozen --no-dev --group tracing \
    && UV_PROJECT_ENVIRONMENT=/node uv sync --frozen --only-group console
COPY console console
RUN /node/bin/python console/build
COPY server.py ./
COPY settings.py ./
COPY cli cli
COPY core core
COPY models models
COPY resolvers resolvers
COPY schema schema
COPY web web
RUN python -m compileall -q server.py settings.py cli core models resolvers schema web

FROM ${PYTHON}
RUN useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin latchkey \
    && install --directory --owner=latchkey --group=latchkey --mode=0700 /data \
    && ln -s /latchkey/server.py /usr/local/bin/latchkey
WORKDIR /latchkey
COPY --from=build /latchkey/.venv .venv
COPY --from=build /latchkey/console/dist console/dist
COPY --from=build /latchkey/pyproject.toml ./
COPY --from=build /latchkey/server.py ./
COPY --from=build /latchkey/settings.py ./
COPY --from=build /latchkey/cli cli
COPY --from=build /latchkey/core core
COPY --from=build /latchkey/models models
COPY --from=build /latchkey/resolvers resolvers
COPY --from=build /latchkey/schema schema
COPY --from=build /latchkey/web web
COPY LICENSE ./
ENV PATH=/latchkey/.venv/bin:$PATH PYTHONUNBUFFERED=1 \
    LATCHKEY_DATA_DIR=/data LATCHKEY_HOST=0.0.0.0 LATCHKEY_PORT=8000
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
asked = http.client.HTTPConnection('127.0.0.1', int(os.environ['LATCHKEY_PORT']), timeout=4); \
asked.request('GET', '/readyz'); \
sys.exit(asked.getresponse().status != 200)"]
ENTRYPOINT ["latchkey"]
CMD ["serve"]
