# The central, and an agency, in one image: `docker build -t loteria-nacional .`. docs/decisions/0010-containers.md says why so.

# The Node that package.json installs; a test compares them. A release names both images by digest: docs/OPERATIONS.md.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim
# The C and C++ libraries that Node needs, time zones, a user without rights; no shell.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${NODE_IMAGE} AS build
RUN mkdir /app /data && chown 65532:65532 /app /data
# Compiled code is kept for the user who compiled it: it must be the one who runs it.
USER 65532:65532
WORKDIR /app
ENV HOME=/tmp NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
COPY --chown=65532:65532 package.json package-lock.json ./
# Node itself is an optional dependency, and here already.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# Maps, types and the sources of what is compiled are for those who develop.
RUN find node_modules -type f \( -name "*.map" -o -name "*.d.ts" -o -name "*.d.cts" -o -name "*.d.mts" \) -delete \
  && rm -rf node_modules/effect/src node_modules/effect/ai-docs node_modules/@effect/*/src
COPY --chown=65532:65532 config.yaml LICENSE ./
COPY --chown=65532:65532 src ./src
# A whole lottery, checked: an image that can't hold one isn't built. What it compiled on the way is kept.
RUN node src/main.ts demo --agencies 2 --bets 2000
# The healthcheck as well; there is no server to find ready.
RUN ! node src/ready.ts
RUN chmod -R a+rX,a-w /app

FROM ${RUNTIME_IMAGE}
COPY --from=build --chown=0:0 /usr/local/bin/node /usr/local/bin/node
COPY --from=build --chown=0:0 /app /app
# A volume that is mounted here for the first time takes over the folder's owner.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /app
# The healthcheck asks at this port, whatever config.yaml says.
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache LEDGER_PATH=/data/ledger.sqlite OPS_PORT=12347
EXPOSE 12345 12346
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
  CMD ["/usr/local/bin/node", "/app/src/ready.ts"]
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
CMD ["serve"]
# The version is package.json's; a test compares them. Which commit, and when, the one who builds says.
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
