# One image for the central and for agencies: `docker build -t loteria-nacional .`. The reasons are in
# docs/decisions/0010-containers.md.

# The same Node version as in package.json; a test compares them. A release names both images by digest:
# docs/OPERATIONS.md.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
# The C and C++ libraries that Node needs, time zones, and a user without rights; no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS build
RUN mkdir /app /data && chown 65532:65532 /app /data
# Node caches compiled code for each user: the build must run as the user who runs the image.
USER 65532:65532
WORKDIR /app
ENV HOME=/tmp NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
COPY --chown=65532:65532 package.json package-lock.json ./
# Node itself is an optional dependency, and the base image has it.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# The default configuration keeps the ledger in the folder data, which is to be the volume. No variable names it, because
# it would take the place of the path or URL in the configuration of whoever runs the image.
RUN ln -s /data data
# Source maps, types, and the sources of compiled packages serve development only.
RUN find node_modules -type f \( -name "*.map" -o -name "*.d.ts" -o -name "*.d.cts" -o -name "*.d.mts" \) -delete \
  && rm -rf node_modules/effect/src node_modules/effect/ai-docs node_modules/@effect/*/src
COPY --chown=65532:65532 config.yaml LICENSE ./
COPY --chown=65532:65532 src ./src
# Runs a whole lottery and checks it: an image that fails this is not built. The compiled code stays in the cache.
RUN node src/main.ts demo --agencies 2 --bets 2000
# Runs the health check too, for its compiled code; it must fail, because no server runs.
RUN ! node src/ready.ts
RUN chmod -R a+rX,a-w /app

FROM ${RUNTIME_IMAGE}
COPY --from=build --chown=0:0 /usr/local/bin/node /usr/local/bin/node
COPY --from=build --chown=0:0 /app /app
# A new volume that is mounted here takes the folder's owner.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /app
# The health check asks this port, whatever config.yaml says.
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache OPS_PORT=12347
EXPOSE 12345 12346
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
  CMD ["/usr/local/bin/node", "/app/src/ready.ts"]
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
CMD ["serve"]
# The same version as in package.json; a test compares them. The builder passes the commit and the time.
ARG VERSION=0.2.0
ARG REVISION=
ARG CREATED=
ARG RUNTIME_IMAGE
LABEL org.opencontainers.image.title="loteria-nacional" \
  org.opencontainers.image.description="The central of a national lottery, and its agencies" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}" \
  org.opencontainers.image.base.name="${RUNTIME_IMAGE}"
