# The central, and an agency, in one image: `docker build -t loteria-nacional .`. docs/decisions/0010-containers.md says why so.

# The Node that package.json pins for development; a test compares them.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-bookworm-slim AS build
RUN mkdir /app /data && chown 65532:65532 /app /data
# Compiled code is kept for the user who compiled it: it must be the one who runs it.
USER 65532:65532
WORKDIR /app
ENV HOME=/tmp NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
COPY --chown=65532:65532 package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# Maps, types and the sources of what is compiled are for those who develop.
RUN find node_modules -type f \( -name "*.map" -o -name "*.d.ts" -o -name "*.d.cts" -o -name "*.d.mts" \) -delete \
  && rm -rf node_modules/effect/src node_modules/effect/ai-docs node_modules/@effect/*/src
COPY --chown=65532:65532 config.yaml LICENSE ./
COPY --chown=65532:65532 src ./src
# A whole lottery, checked: an image that can't hold one isn't built. What it compiled on the way is kept.
RUN node src/main.ts demo --agencies 2 --bets 2000
RUN chmod -R a+rX,a-w /app

# The C and C++ libraries that Node needs, time zones, a user without rights; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build --chown=0:0 /usr/local/bin/node /usr/local/bin/node
COPY --from=build --chown=0:0 /app /app
# A volume that is mounted here for the first time takes over the folder's owner.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache LEDGER_PATH=/data/ledger.sqlite
EXPOSE 12345 12346
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/node", "/app/src/main.ts", "health"]
ENTRYPOINT ["/usr/local/bin/node", "/app/src/main.ts"]
CMD ["serve"]
