//! Every operation by itself: the server decodes it with structs of its own, does it, and answers.
//!
//! What it did is compared with what the host says of the directory; what it does not have is ENOSYS.

mod changing;
mod reading;
mod refusing;

use std::path::Path;

use fuse_proto::ops::{Init, Lookup, LookupReply, Open, OpenFlags};
use fuse_proto::{Entry, FileHandle, Name, NodeId, Session};
use tempfile::TempDir;
use virtio_conformance::fuse_server::Asker;

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).expect("a name")
}

/// A directory with something in it.
fn served() -> TempDir {
    let served = TempDir::new().expect("a temporary directory");
    std::fs::write(served.path().join("file"), "contents").expect("a file");
    std::os::unix::fs::symlink("elsewhere", served.path().join("link")).expect("a link");
    served
}

/// A session with a server of this directory.
fn session(served: &Path) -> (Asker, Session) {
    let mut asker = Asker::new(served);
    let session = asker.ask(&Init::new(1 << 20), |session| session).expect("a session");
    (asker, session)
}

fn lookup(asker: &mut Asker, bytes: &[u8]) -> Entry {
    let found = asker.ask(&Lookup { parent: NodeId::ROOT, name: name(bytes) }, |reply| reply);
    let Ok(LookupReply::Found(entry)) = found else { panic!("{found:?}") };
    entry
}

fn open(asker: &mut Asker, session: &Session, node: NodeId, flags: OpenFlags) -> (FileHandle, OpenFlags) {
    let open = Open::new(node, flags, session);
    let opened = asker.ask(&open, |opened| opened).expect("an open file");
    (opened.handle.unwrap_or_default(), open.flags())
}
