//! Programs that the compiler must refuse; see `tests/compile_fail.rs`.
