# The image of a broker: node and the libraries that it is linked to, the compiled code, its dependencies, its
# migrations. No shell, no npm, no embedded Postgres, no catalogue. It runs as a user without rights, writes
# nothing anywhere, and so lives in a read-only root file system.
#
#   docker build --tag mayfly:0.1.0 .
#
# The base is pinned by version. A tag can be moved; where that matters, write its digest behind it:
#   docker buildx imagetools inspect node:26.10.0-trixie-slim
FROM node:26.10.0-trixie-slim AS base
WORKDIR /build
COPY package.json package-lock.json .npmrc ./

FROM base AS compiled
RUN ["npm", "ci", "--ignore-scripts"]
COPY build.js tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN ["npm", "run", "build"]

FROM base AS dependencies
RUN ["npm", "ci", "--ignore-scripts", "--omit=dev", "--omit=optional"]

# Everything that is in the image, and nothing that anybody could not read.
FROM base AS assembled
COPY deploy/image-root.sh ./
RUN ["sh", "image-root.sh", "/image"]
COPY --from=dependencies /build/node_modules /image/app/node_modules
COPY --from=compiled /build/dist /image/app/dist
COPY package.json openapi.yaml LICENSE deploy/healthcheck.js /image/app/
COPY migrations /image/app/migrations
RUN ["chmod", "-R", "a+rX,go-w", "/image"]

FROM scratch
LABEL org.opencontainers.image.title="mayfly" \
      org.opencontainers.image.description="A credential broker for AI agents" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=assembled /image /
# Where it listens is decided by the container's network; the catalogue is mounted.
ENV NODE_ENV=production \
    MAYFLY_HOST=0.0.0.0 \
    MAYFLY_METRICS_HOST=0.0.0.0 \
    MAYFLY_SCOPES_DIR=/scopes
WORKDIR /app
USER 65532:65532
EXPOSE 8420 8429
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["/usr/local/bin/node", "/app/healthcheck.js"]
# Node is process 1. mayfly listens to SIGTERM, drains and ends; it starts no processes that could be left behind.
ENTRYPOINT ["/usr/local/bin/node", "/app/dist/launch.js"]
CMD ["start"]
