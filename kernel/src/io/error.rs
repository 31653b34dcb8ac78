//! What can go wrong.

use core::fmt;

/// The result of input or output.
pub type Result<T> = core::result::Result<T, Error>;

/// The category of an [`Error`]; those of `std::io::ErrorKind` that occur here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names are those of std::io::ErrorKind, whose documentation holds")]
pub enum ErrorKind {
    NotFound,
    PermissionDenied,
    ConnectionRefused,
    ConnectionReset,
    HostUnreachable,
    NetworkUnreachable,
    ConnectionAborted,
    NotConnected,
    AddrInUse,
    AddrNotAvailable,
    NetworkDown,
    BrokenPipe,
    AlreadyExists,
    WouldBlock,
    NotADirectory,
    IsADirectory,
    DirectoryNotEmpty,
    ReadOnlyFilesystem,
    FilesystemLoop,
    StaleNetworkFileHandle,
    InvalidInput,
    InvalidData,
    TimedOut,
    WriteZero,
    StorageFull,
    NotSeekable,
    FileTooLarge,
    QuotaExceeded,
    ResourceBusy,
    CrossesDevices,
    TooManyLinks,
    InvalidFilename,
    Interrupted,
    Unsupported,
    UnexpectedEof,
    OutOfMemory,
    ArgumentListTooLong,
    ExecutableFileBusy,
    Deadlock,
    InProgress,
    Other,
}

impl ErrorKind {
    /// The category of a Linux error number.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            1 | 13 => Self::PermissionDenied,
            2 => Self::NotFound,
            4 => Self::Interrupted,
            7 => Self::ArgumentListTooLong,
            11 => Self::WouldBlock,
            12 => Self::OutOfMemory,
            16 => Self::ResourceBusy,
            17 => Self::AlreadyExists,
            18 => Self::CrossesDevices,
            20 => Self::NotADirectory,
            21 => Self::IsADirectory,
            22 => Self::InvalidInput,
            26 => Self::ExecutableFileBusy,
            27 => Self::FileTooLarge,
            28 => Self::StorageFull,
            29 => Self::NotSeekable,
            30 => Self::ReadOnlyFilesystem,
            31 => Self::TooManyLinks,
            32 => Self::BrokenPipe,
            35 => Self::Deadlock,
            36 => Self::InvalidFilename,
            38 | 95 => Self::Unsupported,
            39 => Self::DirectoryNotEmpty,
            40 => Self::FilesystemLoop,
            98 => Self::AddrInUse,
            99 => Self::AddrNotAvailable,
            100 => Self::NetworkDown,
            101 => Self::NetworkUnreachable,
            103 => Self::ConnectionAborted,
            104 => Self::ConnectionReset,
            107 => Self::NotConnected,
            110 => Self::TimedOut,
            111 => Self::ConnectionRefused,
            113 => Self::HostUnreachable,
            115 => Self::InProgress,
            116 => Self::StaleNetworkFileHandle,
            122 => Self::QuotaExceeded,
            _ => Self::Other,
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::NotFound => "entity not found",
            Self::PermissionDenied => "permission denied",
            Self::ConnectionRefused => "connection refused",
            Self::ConnectionReset => "connection reset",
            Self::HostUnreachable => "host unreachable",
            Self::NetworkUnreachable => "network unreachable",
            Self::ConnectionAborted => "connection aborted",
            Self::NotConnected => "not connected",
            Self::AddrInUse => "address in use",
            Self::AddrNotAvailable => "address not available",
            Self::NetworkDown => "network down",
            Self::BrokenPipe => "broken pipe",
            Self::AlreadyExists => "entity already exists",
            Self::WouldBlock => "operation would block",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::DirectoryNotEmpty => "directory not empty",
            Self::ReadOnlyFilesystem => "read-only filesystem or storage medium",
            Self::FilesystemLoop => "filesystem loop or indirection limit",
            Self::StaleNetworkFileHandle => "stale network file handle",
            Self::InvalidInput => "invalid input parameter",
            Self::InvalidData => "invalid data",
            Self::TimedOut => "timed out",
            Self::WriteZero => "write zero",
            Self::StorageFull => "no storage space",
            Self::NotSeekable => "seek on unseekable file",
            Self::FileTooLarge => "file too large",
            Self::QuotaExceeded => "quota exceeded",
            Self::ResourceBusy => "resource busy",
            Self::CrossesDevices => "cross-device link or rename",
            Self::TooManyLinks => "too many links",
            Self::InvalidFilename => "invalid filename",
            Self::Interrupted => "operation interrupted",
            Self::Unsupported => "unsupported",
            Self::UnexpectedEof => "unexpected end of file",
            Self::OutOfMemory => "out of memory",
            Self::ArgumentListTooLong => "argument list too long",
            Self::ExecutableFileBusy => "executable file busy",
            Self::Deadlock => "deadlock",
            Self::InProgress => "in progress",
            Self::Other => "other error",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.description())
    }
}

/// An error of input or output: a category, and what is known beyond it. Small and `Copy`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    detail: Detail,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    None,
    Errno(i32),
    Message(&'static str),
}

impl Error {
    /// An error with an explanation.
    pub const fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self { kind, detail: Detail::Message(message) }
    }

    /// An error of category [`ErrorKind::Other`] with an explanation.
    pub const fn other(message: &'static str) -> Self {
        Self::new(ErrorKind::Other, message)
    }

    /// The error that a server reported by a Linux error number, which is positive.
    pub fn from_raw_os_error(errno: i32) -> Self {
        Self { kind: ErrorKind::from_errno(errno), detail: Detail::Errno(errno) }
    }

    /// The Linux error number, where the error came with one.
    pub const fn raw_os_error(&self) -> Option<i32> {
        match self.detail {
            Detail::Errno(errno) => Some(errno),
            _ => None,
        }
    }

    /// The category.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, detail: Detail::None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail {
            Detail::None => self.kind.fmt(formatter),
            Detail::Errno(errno) => write!(formatter, "{} (os error {errno})", self.kind),
            Detail::Message(message) => formatter.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = formatter.debug_struct("Error");
        fields.field("kind", &self.kind);
        match self.detail {
            Detail::None => {}
            Detail::Errno(errno) => {
                fields.field("errno", &errno);
            }
            Detail::Message(message) => {
                fields.field("message", &message);
            }
        }
        fields.finish()
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_number_is_kept_and_has_the_category_that_std_gives_it() {
        // All that a file server may answer with.
        for errno in 1..512 {
            let ours = Error::from_raw_os_error(errno);
            assert_eq!(ours.raw_os_error(), Some(errno));
            let theirs = match format!("{:?}", std::io::Error::from_raw_os_error(errno).kind()) {
                name if name == "Uncategorized" => String::from("Other"),
                name => name,
            };
            assert_eq!(format!("{:?}", ours.kind()), theirs, "errno {errno}");
        }
    }

    #[test]
    fn errors_are_displayed_with_what_is_known() {
        assert_eq!(Error::from_raw_os_error(2).to_string(), "entity not found (os error 2)");
        assert_eq!(Error::from(ErrorKind::TimedOut).to_string(), "timed out");
        assert_eq!(Error::new(ErrorKind::InvalidInput, "no port").to_string(), "no port");
    }
}
