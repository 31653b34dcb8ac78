//! Every committed input of every target, on stable Rust.

use std::path::Path;

/// Runs `target` over its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).expect("the target has a corpus") {
        let path = entry.expect("it can be listed").path();
        // Shown if it fails.
        println!("{}", path.display());
        target(&std::fs::read(&path).expect("it can be read"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", directory.display());
}

macro_rules! targets {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            replay(stringify!($name), fuzz_targets::$name);
        }
    )*

        #[test]
        fn every_program_is_replayed() {
            let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/fuzz_targets");
            for entry in std::fs::read_dir(programs).expect("there are programs") {
                let name = entry.expect("it can be listed").file_name().into_string().expect("a plain name");
                assert!([$(stringify!($name)),*].contains(&name.trim_end_matches(".rs")), "{name}");
            }
        }
    };
}

targets!(
    archive,
    ata,
    block_device,
    boot_information,
    e1000,
    used_ring,
    operations,
    registers,
    pci_capabilities,
    config_space,
    fat,
    fuse_dirents,
    fuse_init,
    fuse_replies,
    fuse_session,
    partitions,
    received_frames,
    virtio_fs,
    virtio_net
);
