# One image for everything that a mesh runs: agents, the processor, the dashboard, the topics job.
#
#   docker build -t parley .
#   docker run parley run agents.procurement.lead:agent
#
# The base is the Python and the Debian that the tests run on. A release pins it by digest:
#   docker build --build-arg BASE=python:3.11-slim-bookworm@sha256:... -t parley .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY image/install.sh image/
COPY requirements/image.txt requirements/build.txt requirements/
RUN sh image/install.sh dependencies /opt/parley
COPY pyproject.toml README.md LICENSE ./
COPY mesh mesh
COPY schemas schemas
RUN sh image/install.sh project /opt/parley

FROM ${BASE}
LABEL org.opencontainers.image.title="Parley" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/parley /opt/parley
# Beside the mesh: the example agents, and the probe below. Agents of your own go to /app, too.
COPY agents /app/agents
COPY image/healthy.py /app/image/healthy.py
WORKDIR /app
# The one place that is written to, by bodies above 256 KiB alone: the rest of the root may be read-only.
# Like /tmp, it is whoever's: some clusters choose the user by themselves.
RUN install -d -m 1777 /var/lib/parley/artifacts
ENV PATH=/opt/parley/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MESH_ARTIFACTS=/var/lib/parley/artifacts \
    MESH_HEALTH=0.0.0.0:8470
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8470 8480
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
  CMD ["python", "/app/image/healthy.py"]
ENTRYPOINT ["mesh"]
CMD ["--help"]
