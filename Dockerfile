# The Parley server: packages and page are made in a first stage; the second one holds the runtime and what it runs, has no
# compiler and no package tool, and runs as a person without rights. The root file system may be read-only: what is kept is
# in /data.
#   docker build -t parley . && docker run -p 7700:7700 -v parley:/data -e PARLEY_AUTH_SECRET=… parley
FROM node:22.22.2-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
COPY scripts/find-bun.mjs scripts/
# What the lock has. The runtime is one of the packages; npm may have held back the script that puts its binary in place.
RUN npm install --no-save --no-audit --no-fund \
    && node -e "import('./scripts/find-bun.mjs').then(({ findBun }) => fs.copyFileSync(findBun(), '/usr/local/bin/bun'))" \
    && bun --version
COPY tsconfig.json ./
COPY scripts ./scripts
COPY src ./src
COPY web ./web
# The second stage gets the runtime once, and no package that only building needs.
RUN bun scripts/build-web.ts \
    && npm prune --omit=dev --no-audit --no-fund --ignore-scripts \
    && rm -rf node_modules/bun node_modules/@oven node_modules/.bin
RUN printf '#!/bin/sh\nexec bun /app/src/main.ts "$@"\n' > /usr/local/bin/parley && chmod 755 /usr/local/bin/parley

FROM debian:bookworm-20251229-slim
# The runtime's cache of translated sources would be written beside them, and there is nothing to report to.
ENV NODE_ENV=production \
    BUN_RUNTIME_TRANSPILER_CACHE_PATH=0 \
    DO_NOT_TRACK=1 \
    PARLEY_HOST=0.0.0.0 \
    PARLEY_PORT=7700 \
    PARLEY_DATA_DIR=/data \
    PARLEY_LOG_FORMAT=json
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin parley \
    && install -d -o parley -g parley -m 700 /data
WORKDIR /app
COPY --from=build /usr/local/bin/bun /usr/local/bin/parley /usr/local/bin/
COPY --from=build /app/package.json /app/tsconfig.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/src ./src
USER parley
VOLUME /data
EXPOSE 7700
# Ready means: the store answers and traffic may come.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["bun", "-e", "process.exit((await fetch(`http://127.0.0.1:${process.env.PARLEY_PORT}/readyz`)).ok ? 0 : 1)"]
# SIGTERM drains within 5 s; the runtime is started directly, so the signal reaches it.
STOPSIGNAL SIGTERM
CMD ["bun", "src/main.ts", "serve"]
