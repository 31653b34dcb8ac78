# An image that has everything to build Toro's applications and to run them, with all of them built.
#
#   docker build -t toro .                                   all applications in kernel/examples
#   docker build -t toro --build-arg APPS="hello ping" .     some
#   docker run --rm toro                                     hello, in QEMU
#   docker run --rm --device /dev/kvm toro                   the same, on the processor itself
#
# `cargo xtask ci` carries out these very lines, where it can, in a root file system of its own (docs/container.md).
FROM rust:1.95-slim-bookworm

# The image's own toolchain, whatever rust-toolchain.toml says: nothing else has to be downloaded.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /toro
COPY . .
RUN cargo xtask setup --for run && rm -rf /var/lib/apt/lists/*
# `--all`, or names of applications.
ARG APPS=--all
RUN for app in $APPS; do cargo xtask build "$app" || exit; done
CMD ["cargo", "xtask", "run", "hello"]
