# syntax=docker/dockerfile:1

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY migrations migrations
COPY src src
RUN cargo build --release --locked --bin regcred

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin regcred \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/regcred
COPY --from=build /src/target/release/regcred /usr/local/bin/regcred
RUN ln -s regcred /usr/local/bin/docker-credential-regcred
USER 10001
ENV REGCRED_LISTEN=0.0.0.0:8080 \
    REGCRED_KEY_FILE=/var/lib/regcred/key \
    REGCRED_LOG_FORMAT=json
EXPOSE 8080
VOLUME /var/lib/regcred
ENTRYPOINT ["regcred"]
CMD ["serve"]
