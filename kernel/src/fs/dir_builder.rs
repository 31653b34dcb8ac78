//! How a directory is created.

/// Permissions of a new directory, if nothing else is said. There is no `umask`.
pub const DEFAULT_MODE: u32 = 0o755;

/// How a directory is created, as `std::fs::DirBuilder`.
#[derive(Clone, Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl Default for DirBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl DirBuilder {
    /// In a directory that exists, with the permissions 0o755.
    pub const fn new() -> Self {
        Self { recursive: false, mode: DEFAULT_MODE }
    }

    /// Whether those that it is in are created, too, with the same permissions, and it is no error if it is there.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Which permissions it has: the lower twelve bits of `st_mode`.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = mode & 0o7777;
        self
    }

    /// Creates a directory.
    ///
    /// # Errors
    ///
    /// As [`create_dir`](super::create_dir) or [`create_dir_all`](super::create_dir_all).
    #[cfg(target_os = "none")]
    pub fn create(&self, path: impl AsRef<[u8]>) -> crate::io::Result<()> {
        super::system::namespace().create_dir_with(path.as_ref(), self)
    }

    pub(super) const fn is_recursive(&self) -> bool {
        self.recursive
    }

    pub(super) const fn permissions(&self) -> u32 {
        self.mode
    }
}
