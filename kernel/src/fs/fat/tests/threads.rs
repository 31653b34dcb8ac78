//! Several threads at one volume.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::fs::tests::writing::options;
use crate::io::{Read, Seek, Write};

#[test]
#[cfg_attr(miri, ignore = "there is no fsck.fat under Miri")]
fn threads_that_wait_for_the_disk_leave_each_others_files_alone() {
    let disk = Memory::formatted();
    run(|crew: &Crew| {
        let file_system =
            Fat::mount(Box::new(disk.slow(crew)), 16, platform(crew.scheduler())).expect("it is in order");
        let namespace = Rc::new(Namespace::new());
        namespace.mount(b"/", file_system).expect("nothing is there");
        for number in 0..4_u8 {
            let namespace = Rc::clone(&namespace);
            crew.spawn(move || work(&namespace, number).expect("there is room"));
        }
        move || namespace.unmount_all()
    });
    let namespace = mounted(&disk);
    let log = namespace.read_to_string(b"log").expect("it is text");
    assert_eq!(log.lines().count(), 12);
    for number in 0..4_u8 {
        let lines: Vec<_> = log.lines().filter(|line| line.starts_with(&format!("{number} "))).collect();
        assert_eq!(lines, [0, 1, 2].map(|line| format!("{number} {line} {}", "x".repeat(600))));
        let path = format!("directory {number}/large");
        let bytes: Vec<u8> = (0..9000_u32).map(|index| (index / 5) as u8 ^ number).collect();
        assert!(namespace.read(path.as_bytes()) == Ok(bytes), "{path}");
    }
    namespace.unmount_all();
    assert_eq!(judge(&disk), "", "what fsck.fat complains about");
}

/// What fsck.fat says of a disk, where it is installed, if it says that something is wrong.
fn judge(disk: &Memory) -> String {
    let path = std::env::temp_dir().join(format!("toro-fat-{}", std::process::id()));
    std::fs::write(&path, &*disk.bytes.borrow()).expect("the host has a directory for temporary files");
    let output = std::process::Command::new("fsck.fat").arg("-n").arg(&path).output();
    let _ = std::fs::remove_file(&path);
    match output {
        Ok(output) if !output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

/// What one of several threads does at a time.
fn work(namespace: &Namespace, number: u8) -> io::Result<()> {
    let directory = format!("directory {number}");
    namespace.create_dir(directory.as_bytes())?;
    let path = format!("{directory}/large");
    let bytes: Vec<u8> = (0..9000_u32).map(|index| (index / 5) as u8 ^ number).collect();
    let new = options(|options| options.read(true).write(true).create_new(true));
    let mut file = namespace.open_with(format!("{directory}/while").as_bytes(), &new)?;
    for piece in bytes.chunks(1999) {
        file.write_all(piece)?;
    }
    for line in 0..3 {
        let mut log = namespace.open_with(b"log", &options(|options| options.append(true).create(true)))?;
        // In one write: `write!` makes several.
        log.write_all(format!("{number} {line} {}\n", "x".repeat(600)).as_bytes())?;
    }
    namespace.rename(format!("{directory}/while").as_bytes(), path.as_bytes())?;
    let mut found = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut found)?;
    assert!(found == bytes);
    // Removed while it is open, and dropped while others have the volume.
    let mut gone = namespace.open_with(format!("{directory}/gone").as_bytes(), &new)?;
    gone.write_all(&[number; 3000])?;
    namespace.remove_file(format!("{directory}/gone").as_bytes())?;
    drop(gone);
    namespace.sync()
}
