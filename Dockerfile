# syntax=docker/dockerfile:1
# One image, one program: `talea serve` with all roles or some, `talea migrate`, `talea keys`, `talea rebuild`.

FROM rust:1.95-slim-trixie AS build
# librdkafka, zstd and OpenSSL are compiled from their sources: C and C++ compilers, make and perl.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The caches are the builder's own; the program is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    CARGO_PROFILE_RELEASE_DEBUG=0 cargo build --locked --release --package talea --bin talea --features tls \
    && install -D -m 0755 target/release/talea /out/talea

FROM debian:trixie-slim
# curl asks /readyz.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/talea --create-home --shell /usr/sbin/nologin talea
COPY --from=build /out/talea /usr/local/bin/talea
USER 10001:10001
WORKDIR /var/lib/talea
ENV TALEA__SERVER__LISTEN=0.0.0.0:8080 \
    TALEA__ENGINES__HOME=/var/lib/talea
EXPOSE 8080
# Ready, not merely alive: a stuck consumer answers 503.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:8080/readyz"]
# SIGTERM lets requests and blocks under way finish (server.shutdown_seconds); a second one ends at once.
STOPSIGNAL SIGTERM
ENTRYPOINT ["talea"]
CMD ["serve"]
