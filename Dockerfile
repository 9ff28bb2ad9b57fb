# Native core: the addon for this platform.
FROM rust:1.95-slim-bookworm AS native
WORKDIR /app/native
COPY native ./
RUN cargo build --release --locked --package warmpath-binding

# Build: dependencies and the compiled router.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN node_modules/.bin/tsc -p tsconfig.build.json && npm prune --omit=dev --no-audit --no-fund
COPY --from=native /app/native/target/release/libwarmpath_binding.so /tmp/
RUN mkdir -p dist/native && mv /tmp/libwarmpath_binding.so \
  "dist/native/warmpath-$(node -p 'process.platform')-$(node -p 'process.arch').node"

# Run: no compiler, no tests, no root, nothing to write.
FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist/src ./dist/src
COPY --from=build /app/dist/native ./dist/native
COPY --from=build /app/scripts/warmpath.js ./scripts/warmpath.js
COPY config/warmpath.example.yaml LICENSE ./
USER node
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=2s CMD ["node", "-e", "fetch('http://127.0.0.1:8080/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "scripts/warmpath.js"]
