# The Parley server alone: packages and page are made in a first stage, the second one runs them as a person without rights.
#   docker build -t parley . && docker run -p 7700:7700 -v parley:/data -e PARLEY_AUTH_SECRET=… parley
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# What the lock has. The runtime is one of the packages: the last command proves that its binary is in place.
RUN npm install --no-save --no-audit --no-fund && node_modules/.bin/bun --version
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
COPY web ./web
RUN npm run build && npm prune --omit=dev --no-audit --no-fund --ignore-scripts

FROM node:22-bookworm-slim
ENV NODE_ENV=production \
    PARLEY_HOST=0.0.0.0 \
    PARLEY_PORT=7700 \
    PARLEY_DATA_DIR=/data \
    PARLEY_LOG_FORMAT=json \
    PATH=/app/node_modules/.bin:$PATH
WORKDIR /app
COPY --from=build /app/package.json /app/tsconfig.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/src ./src
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 7700
# Ready means: the store answers and traffic may come.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["bun", "-e", "const r = await fetch(`http://127.0.0.1:${process.env.PARLEY_PORT}/readyz`); process.exit(r.ok ? 0 : 1)"]
# SIGTERM drains within 5 s; the runtime is started directly, so the signal reaches it.
STOPSIGNAL SIGTERM
CMD ["bun", "src/main.ts", "serve"]
