//! Builds the example `staticlib` of `virtio-queue-rt` as the author of an operating system would, and runs it; see
//! `tests/no_alloc/main.rs`.
