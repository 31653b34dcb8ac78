//! A tree, through all of `toro::fs`.

use tempfile::TempDir;
use toro::fs::host::Options;
use toro::io::ErrorKind;
use virtio_conformance::fuse_server::mount;

#[test]
fn a_tree_is_read_as_it_is_and_every_reference_is_returned() {
    let served = TempDir::new().expect("a temporary directory");
    let at = |name: &str| served.path().join(name);
    let contents: Vec<u8> = (0..700_001_u32).map(|offset| offset.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]).collect();
    std::fs::write(at("large"), &contents).expect("a file");
    std::fs::create_dir_all(at("deep/er")).expect("directories");
    for number in 0..300 {
        std::fs::write(at(&format!("deep/er/{number}")), number.to_string()).expect("a file");
    }
    std::os::unix::fs::symlink("er/7", at("deep/link")).expect("a link");

    let (mount, server) = mount(served.path(), Options::default());
    let files = mount.namespace();
    assert!(files.read(b"/large").expect("it is there") == contents);
    assert_eq!(files.read_to_string(b"/deep/link").expect("it is there"), "7");
    assert_eq!(files.metadata(b"/deep/nothing").map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    let names = files.read_dir(b"/deep/er").expect("a directory").map(|entry| entry.expect("a name"));
    let mut names: Vec<u32> = names
        .map(|entry| std::str::from_utf8(entry.file_name()).expect("a number").parse().expect("a number"))
        .collect();
    names.sort_unstable();
    assert!(names.into_iter().eq(0..300));
    mount.unmount();
    assert_eq!(server.borrow().offences(), [""; 0]);
}
