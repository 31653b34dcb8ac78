//! Extended attributes.

use std::vec;
use std::vec::Vec;

use fuse_proto::{InitFlags, Opcode};

use super::*;
use crate::fs::vfs::XattrMode;

fn with_file<R>(prepare: impl FnOnce(&mut Server) -> R) -> (Mount, Rc<dyn Node>) {
    let mount = mount(|server| {
        server.file("f", b"x");
        prepare(server);
    });
    let file = mount.find("f").expect("it exists");
    (mount, file)
}

#[test]
fn what_is_set_is_read_listed_and_removed() {
    let flags = [InitFlags::BASIC, InitFlags::BASIC - InitFlags::SETXATTR_EXT];
    for flags in flags {
        let (mount, file) = with_file(|server| server.manners.init_flags = flags);
        let before = file.metadata().expect("it exists").changed_time();
        assert_eq!(file.xattrs(), Ok(Vec::new()));
        for (name, value) in [(&b"user.a"[..], &b"value"[..]), (b"user.empty", b""), (b"user.a/b", &[0, 255])] {
            assert_eq!(file.set_xattr(name, value, XattrMode::Any), Ok(()));
            assert_eq!(file.xattr(name).as_deref(), Ok(value));
        }
        let names: Vec<Box<[u8]>> = [&b"user.a"[..], b"user.a/b", b"user.empty"].map(Into::into).into();
        assert_eq!(file.xattrs(), Ok(names));
        assert_eq!(file.remove_xattr(b"user.a"), Ok(()));
        assert_eq!((file.xattr(b"user.a"), file.remove_xattr(b"user.a")), (Err(Errno::ENODATA), Err(Errno::ENODATA)));
        assert!(file.metadata().is_ok_and(|metadata| metadata.changed_time() > before));
        drop(file);
        mount.finish();
    }
}

#[test]
fn an_attribute_may_or_must_not_be_there() {
    let (mount, file) = with_file(|_| {});
    assert_eq!(file.set_xattr(b"user.a", b"1", XattrMode::Replace), Err(Errno::ENODATA));
    assert_eq!(file.set_xattr(b"user.a", b"1", XattrMode::Create), Ok(()));
    assert_eq!(file.set_xattr(b"user.a", b"2", XattrMode::Create), Err(Errno::EEXIST));
    assert_eq!(file.set_xattr(b"user.a", b"2", XattrMode::Replace), Ok(()));
    assert_eq!(file.xattr(b"user.a").as_deref(), Ok(&b"2"[..]));
    drop(file);
    mount.finish();
}

#[test]
fn names_and_values_have_limits() {
    let (mount, file) = with_file(|_| {});
    let long = [b'x'; 256];
    for name in [&b""[..], &long] {
        assert_eq!(file.set_xattr(name, b"", XattrMode::Any), Err(Errno::ERANGE));
        assert_eq!((file.xattr(name), file.remove_xattr(name)), (Err(Errno::ERANGE), Err(Errno::ERANGE)));
    }
    assert_eq!(file.xattr(b"user.\0"), Err(Errno::EINVAL));
    assert_eq!(file.set_xattr(b"user.a", &vec![7; 65_537], XattrMode::Any), Err(Errno::E2BIG));
    assert_eq!(mount.count("SETXATTR") + mount.count("GETXATTR") + mount.count("REMOVEXATTR"), 0);
    assert_eq!(file.set_xattr(b"user.a", &vec![7; 65_536], XattrMode::Any), Ok(()));
    assert!(file.xattr(b"user.a").is_ok_and(|value| value == vec![7; 65_536]));
    drop(file);
    mount.finish();
}

#[test]
fn fu_sem_8_a_server_without_attributes_is_asked_once() {
    let opcodes = [Opcode::SetXattr, Opcode::GetXattr, Opcode::ListXattr, Opcode::RemoveXattr];
    let (mount, file) = with_file(|server| server.manners.unsupported.extend(opcodes.map(|opcode| opcode.raw())));
    for _ in 0..3 {
        assert_eq!(file.set_xattr(b"user.a", b"1", XattrMode::Any), Err(Errno::EOPNOTSUPP));
        assert_eq!(file.xattr(b"user.a"), Err(Errno::EOPNOTSUPP));
        assert_eq!(file.xattrs(), Err(Errno::EOPNOTSUPP));
        assert_eq!(file.remove_xattr(b"user.a"), Err(Errno::EOPNOTSUPP));
    }
    assert_eq!(opcodes.map(|opcode| mount.count(opcode.name())), [1; 4]);
    drop(file);
    mount.finish();
}

/// Changes the length that the server says.
fn say_length(mount: &Mount, target: Opcode, length: u32) {
    mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply: &mut Vec<u8>| {
        // Lengths have eight bytes, and the values of these tests have not.
        if opcode == target && reply.len() == 16 + 8 {
            reply[16..20].copy_from_slice(&length.to_le_bytes());
        }
    }));
}

#[test]
fn hd_fs_32_a_length_beyond_all_is_cut() {
    let (mount, file) = with_file(|_| {});
    assert_eq!(file.set_xattr(b"user.a", b"value", XattrMode::Any), Ok(()));
    for target in [Opcode::GetXattr, Opcode::ListXattr] {
        say_length(&mount, target, u32::MAX);
        assert_eq!(file.xattr(b"user.a").as_deref(), Ok(&b"value"[..]));
        assert_eq!(file.xattrs().map(|names| names.len()), Ok(1));
    }
    drop(file);
    mount.finish();
}

#[test]
fn a_value_that_grows_all_the_time_is_asked_for_a_few_times() {
    let (mount, file) = with_file(|_| {});
    assert_eq!(file.set_xattr(b"user.a", b"value", XattrMode::Any), Ok(()));
    say_length(&mount, Opcode::GetXattr, 1);
    assert_eq!(file.xattr(b"user.a"), Err(Errno::ERANGE));
    assert_eq!(mount.count("GETXATTR"), 8);
    drop(file);
    mount.finish();
}

#[test]
fn hd_fs_31_a_list_of_names_that_are_none_is_refused() {
    for list in [&b"user.a"[..], b"\0\0\0\0\0\0\0", b"a\0\0user\0"] {
        let (mount, file) = with_file(|_| {});
        assert_eq!(file.set_xattr(b"user.a", b"", XattrMode::Any), Ok(()));
        mount.model.lock().behaviour.spoil = Some(Box::new(move |opcode, reply: &mut Vec<u8>| {
            if opcode == Opcode::ListXattr && reply.len() == 16 + 7 {
                reply.truncate(16);
                reply.extend_from_slice(&list[..list.len().min(7)]);
                let length = reply.len() as u32;
                reply[..4].copy_from_slice(&length.to_le_bytes());
            }
        }));
        assert_eq!(file.xattrs(), Err(Errno::EIO), "{}", list.escape_ascii());
        drop(file);
        mount.finish();
    }
}
