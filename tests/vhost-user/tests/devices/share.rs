//! `toro::fs` against real servers: what it reads is what is there.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use toro::fs::FileType;
use toro::io::ErrorKind;
use vhost_user_tests::{Daemon, FileServer, FileServerKind, Serving, Share};

/// Bytes of a file that takes many reads, and is no multiple of any of them.
const LENGTH: usize = 3_000_017;

fn byte(offset: usize) -> u8 {
    (offset as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

/// A directory with one thing of each kind.
fn served() -> TempDir {
    let served = TempDir::new().expect("a temporary directory");
    let at = |name: &str| served.path().join(name);
    std::fs::write(at("large"), (0..LENGTH).map(byte).collect::<Vec<u8>>()).expect("a file");
    std::fs::write(at("small"), "a few words").expect("a file");
    std::fs::create_dir_all(at("deep/er/still")).expect("directories");
    for number in 0..500 {
        std::fs::write(at(&format!("deep/er/{number}")), number.to_string()).expect("a file");
    }
    std::os::unix::fs::symlink("../small", at("deep/link")).expect("a link");
    served
}

fn a_tree_is_read_as_it_is(server: &FileServer) {
    let served = served();
    let daemon = Daemon::files_by(server, served.path(), &Serving::default());
    let share = Share::mount(&daemon);
    let files = share.namespace();
    let contents = files.read(b"/large").expect("it is there");
    assert!(contents.len() == LENGTH && contents.iter().enumerate().all(|(offset, &is)| is == byte(offset)));
    assert_eq!(files.read_to_string(b"/deep/link").expect("it is there"), "a few words");
    assert_eq!(files.read_link(b"/deep/link").expect("it is a link"), b"../small");
    assert_eq!(files.metadata(b"/nothing").map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    compare(files, b"/", served.path());
    share.unmount();
}

/// Every name below `path`, and all that is known of it, is what the host says.
fn compare(files: &toro::fs::Namespace, path: &[u8], host: &Path) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let mut names: Vec<_> =
        files.read_dir(path).expect("a directory").map(|entry| entry.expect("a name").file_name().to_vec()).collect();
    names.sort();
    let entries = std::fs::read_dir(host).expect("a directory");
    let mut expected: Vec<_> = entries.map(|entry| entry.expect("a name").file_name().as_bytes().to_vec()).collect();
    expected.sort();
    assert_eq!(names, expected);
    for name in names {
        let child = [path, b"/", &name].concat();
        let on_host = host.join(std::ffi::OsStr::from_bytes(&name));
        let (ours, theirs) = (files.symlink_metadata(&child).expect("it is there"), on_host.symlink_metadata());
        let theirs = theirs.expect("it is there");
        assert_eq!(ours.mode(), theirs.permissions().mode(), "{on_host:?}");
        assert_eq!(
            (ours.len(), ours.inode(), u64::from(ours.links())),
            (theirs.len(), theirs.ino(), theirs.nlink()),
            "{on_host:?}"
        );
        match ours.file_type() {
            FileType::Directory => compare(files, &child, &on_host),
            FileType::File => {
                assert_eq!(
                    files.read(&child).expect("a file"),
                    std::fs::read(&on_host).expect("a file"),
                    "{on_host:?}"
                );
            }
            _ => {}
        }
    }
}

fn fu_sem_1_references_and_handles_are_returned(server: &FileServer) {
    let served = served();
    let open_after = |work: &dyn Fn(&Share), expected: Option<usize>| {
        let daemon = Daemon::files_by(server, served.path(), &Serving::default());
        let share = Share::mount(&daemon);
        work(&share);
        share.unmount();
        let open = daemon.open_files();
        // What is closed last may be on its way out.
        let looks = std::iter::repeat_with(|| {
            std::thread::sleep(Duration::from_millis(20));
            daemon.open_files()
        });
        let expected = expected.unwrap_or(open);
        looks.take(250).find(|&open| open == expected).unwrap_or_else(|| daemon.open_files())
    };
    let unused = open_after(&|_| (), None);
    let work = |share: &Share| {
        let files = share.namespace();
        compare(files, b"/", served.path());
        drop((files.open(b"/large"), files.read_dir(b"/deep/er")));
    };
    assert_eq!(open_after(&work, Some(unused)), unused);
}

/// Each test for each server; for one that is not here it has nothing to say (`cargo xtask test` counts that as skipped).
macro_rules! for_each_server {
    ($($name:ident)*) => {
        mod by_virtiofsd_in_c {
            $(
                #[test]
                fn $name() {
                    super::FileServer::find(super::FileServerKind::C).iter().for_each(super::$name);
                }
            )*
        }

        mod by_virtiofsd_in_rust {
            $(
                #[test]
                fn $name() {
                    super::FileServer::find(super::FileServerKind::Rust).iter().for_each(super::$name);
                }
            )*
        }
    };
}

for_each_server! { a_tree_is_read_as_it_is fu_sem_1_references_and_handles_are_returned }
