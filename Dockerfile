# syntax=docker/dockerfile:1.7
# Every image of the shop. One stage compiles all programs; each image is one of them on a system without
# a shell, as a user that is nobody:
#
#   docker build --target service --build-arg SERVICE=orders --tag shopmesh/orders:dev .
#   docker build --target meshctl --tag shopmesh/meshctl:dev .
#
# `docker compose build` makes all that compose.yaml names. Names of other images say their registry: Podman
# takes no shorter ones.

FROM docker.io/library/rust:1.95.0-bookworm AS build
WORKDIR /shopmesh
COPY . .
# Crates and what was compiled of them outlive a change of the sources: a cache that no image holds.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/shopmesh/target,sharing=locked \
    cargo build --release --locked --workspace --bins \
    && mkdir -p /out /empty \
    && for manifest in services/*/Cargo.toml; do \
         cp "target/release/$(basename "$(dirname "$manifest")")" /out/; \
       done \
    && cp target/release/meshctl /out/

# The C library, the certificates of public authorities, and nothing else.
FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f AS nobody
USER 65532:65532

FROM nobody AS service
ARG SERVICE
COPY --from=build /out/${SERVICE} /service
# A volume that is new belongs to whom its folder in the image belongs to.
COPY --from=build --chown=65532:65532 /empty /keys
EXPOSE 7000 9000
ENTRYPOINT ["/service"]

FROM nobody AS meshctl
COPY --from=build /out/meshctl /meshctl
COPY --from=build --chown=65532:65532 /empty /keys
ENTRYPOINT ["/meshctl"]

# Somebody else's programs, made to run as nobody: each is given a folder of its own.
FROM docker.io/library/nats:2.15.1-alpine AS nats
COPY --from=build --chown=65532:65532 /empty /data
USER 65532:65532

FROM docker.io/victoriametrics/victoria-logs:v1.52.1 AS logs
COPY --from=build --chown=65532:65532 /empty /data
USER 65532:65532
