//! What kind of object a node is.
//!
//! The kind arrives in two encodings. Attributes carry it in the upper bits of `mode`, where it has to be
//! right: a client decides by it what operations make sense, so a mode without a valid kind is a malformed
//! reply (HD-FS-17). Directory entries carry the same four bits alone, and only as a hint: many file systems
//! do not store it, and 0 means "look it up".

/// The kind of a file system object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileType {
    /// A named pipe.
    #[doc(alias = "S_IFIFO")]
    Fifo,
    /// A character device.
    #[doc(alias = "S_IFCHR")]
    CharDevice,
    /// A directory.
    #[doc(alias = "S_IFDIR")]
    Directory,
    /// A block device.
    #[doc(alias = "S_IFBLK")]
    BlockDevice,
    /// A file with contents.
    #[doc(alias = "S_IFREG")]
    Regular,
    /// A symbolic link.
    #[doc(alias = "S_IFLNK")]
    SymLink,
    /// A local socket.
    #[doc(alias = "S_IFSOCK")]
    Socket,
}

/// Where the kind lies in a mode.
const SHIFT: u32 = 12;

impl FileType {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Fifo, Self::CharDevice, Self::Directory, Self::BlockDevice, Self::Regular, Self::SymLink, Self::Socket];

    /// The kind in `mode`, `None` if its bits have no meaning.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Self::from_dirent((mode >> SHIFT) & 0xf)
    }

    /// The kind that a directory entry carries, `None` if it is unknown (0) or has no meaning.
    #[must_use]
    #[doc(alias = "DT_UNKNOWN")]
    pub const fn from_dirent(kind: u32) -> Option<Self> {
        match kind {
            1 => Some(Self::Fifo),
            2 => Some(Self::CharDevice),
            4 => Some(Self::Directory),
            6 => Some(Self::BlockDevice),
            8 => Some(Self::Regular),
            10 => Some(Self::SymLink),
            12 => Some(Self::Socket),
            _ => None,
        }
    }

    /// The number in a directory entry.
    #[must_use]
    pub const fn dirent_bits(self) -> u32 {
        match self {
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::SymLink => 10,
            Self::Socket => 12,
        }
    }

    /// The bits in a mode.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        self.dirent_bits() << SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_reads_back_from_both_encodings() {
        for kind in FileType::ALL {
            assert_eq!(FileType::from_mode(kind.mode_bits() | 0o7777), Some(kind));
            assert_eq!(FileType::from_dirent(kind.dirent_bits()), Some(kind));
        }
        assert_eq!(FileType::Regular.mode_bits(), 0o100_000);
        assert_eq!(FileType::Directory.mode_bits(), 0o040_000);
        assert_eq!(FileType::SymLink.mode_bits(), 0o120_000);
        assert_eq!(FileType::Socket.mode_bits(), 0o140_000);
    }

    #[test]
    fn hd_fs_17_the_other_nine_values_are_no_kind() {
        let invalid = (0..16).filter(|kind| FileType::from_mode(kind << 12).is_none());
        assert_eq!(invalid.count(), 9);
        assert_eq!(FileType::from_mode(0o644), None);
        assert_eq!(FileType::from_dirent(0x18), None);
    }
}
