//! The bytes of the extensions, and what they refuse.
