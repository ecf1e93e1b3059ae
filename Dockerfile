# A node in a container: docker build -t ambient .
# The bases can be replaced: --build-arg PYTHON=registry.example/python@sha256:...
# With NumPy for studies and obstore for buckets: --build-arg REQUIREMENTS=extras
ARG NODE=docker.io/library/node:22.23.3-bookworm-slim@sha256:43ac6c60b8f89723f746e8a92ce91abd5017e627ce1ddfe4238355d3a30b772c
ARG PYTHON=docker.io/library/python:3.13.15-slim-bookworm@sha256:ed86c82274b3c69b52fb5820f358f0bd7df0b603332063cb5c6e32bd220c3e6e

FROM ${NODE} AS pages
WORKDIR /source/dashboard
COPY dashboard/package.json dashboard/package-lock.json ./
RUN npm ci --no-fund --no-audit
COPY dashboard ./
RUN npm run --silent build

FROM ${PYTHON} AS build
ARG REQUIREMENTS=runtime
WORKDIR /source
COPY requirements/${REQUIREMENTS}.txt requirements/
RUN python3 -m venv /opt/ambient \
    && /opt/ambient/bin/python -m pip install --no-cache-dir --no-deps --require-hashes --prefer-binary -r "requirements/${REQUIREMENTS}.txt"
COPY pyproject.toml README.md LICENSE .gitignore ./
COPY scripts scripts
COPY sim sim
COPY src src
COPY --from=pages /source/src/ambientd/dashboard src/ambientd/dashboard
RUN /opt/ambient/bin/python -m hatchling build -t wheel \
    && /opt/ambient/bin/python -m pip install --no-cache-dir --no-deps dist/*.whl

FROM ${PYTHON}
# Nothing but /var/lib/ambient and /tmp is written, so the rest can be mounted read-only.
RUN groupadd --gid 10001 ambient \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/ambient ambient \
    && install -d -m 0700 -o ambient -g ambient /var/lib/ambient \
    && install -d -m 0755 -o ambient -g ambient /run/ambient
COPY --from=build /opt/ambient /opt/ambient
ENV PATH=/opt/ambient/bin:$PATH AMBIENT_DATA_DIR=/var/lib/ambient PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/ambient
VOLUME /var/lib/ambient
EXPOSE 4400/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["ambientctl", "status", "--quiet"]
ENTRYPOINT ["ambientd"]
