//! The parts of the kernel that an image can be without, and where they meet the rest.
//!
//! ```text
//!   feature   part              a device of its class goes to      at the start         at the end
//!   net       net, socket       net::attach, attach_queues
//!   block     fs::block         block::attach, attach_queues                            caches are written
//!   fs        fs                fs::attach                         words are judged     servers are told
//!   fat       fs::fat                                              volumes are mounted
//! ```
//!
//! Nothing else in the kernel names these parts, so one whose feature is off is not in the image at all. A device that
//! becomes something without a part here is reported and left alone, like any other that cannot be used.

use toro_core::driver::Attached;

use crate::bus::{Found, Owners};
#[cfg(any(feature = "fs", feature = "net"))]
use crate::core::run_on;
use crate::io;

/// Hands a device that its driver has made ready to the part of its class, on the cores that own it.
#[cfg_attr(not(any(feature = "block", feature = "fs", feature = "net")), expect(unused_variables, reason = "no part"))]
pub(crate) fn take(device: &dyn Found, name: &str, attached: Attached, owners: &Owners) -> io::Result<()> {
    let core = owners.first();
    match attached {
        #[cfg(feature = "net")]
        Attached::Net(net) => {
            log::debug!("{device}: {name}, {}, core {core}", net.mac());
            let name = alloc::string::String::from(name);
            run_on(core, move || crate::net::attach(&name, net))
        }
        #[cfg(feature = "net")]
        Attached::NetQueues(queues) => {
            log::debug!("{device}: {name}, {} queue pairs", queues.len());
            crate::net::attach_queues(name, queues, owners.cores())
        }
        #[cfg(feature = "block")]
        Attached::Block(block) => {
            log::debug!("{device}: {name}, core {core}");
            crate::fs::block::attach(name, block, core)
        }
        #[cfg(feature = "block")]
        Attached::BlockQueues(queues) => {
            log::debug!("{device}: {name}, {} queues", queues.len());
            crate::fs::block::attach_queues(name, queues, owners.cores())
        }
        #[cfg(feature = "fs")]
        Attached::Fuse(fuse) => {
            log::debug!("{device}: {name}, \"{}\", core {core}", fuse.tag().escape_ascii());
            run_on(core, move || crate::fs::attach(fuse))
        }
        Attached::Other => {
            log::debug!("{device}: {name}");
            Ok(())
        }
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is of a class that is not in this image")),
    }
}

/// When all devices have been taken into service, before the application starts.
pub(crate) fn start() {
    #[cfg(feature = "fat")]
    crate::fs::mount_all();
    #[cfg(feature = "fs")]
    crate::fs::report_useless_words();
}

/// At the end of the machine: on every core file servers are told, and what disks have not been given yet is written.
/// Without either of them other cores are not asked.
pub(crate) fn take_leave() {
    #[cfg(any(feature = "block", feature = "fs"))]
    {
        /// How long other cores may take to tell their file servers, and to write to their disks.
        const PATIENCE: core::time::Duration = core::time::Duration::from_secs(20);
        let take_leave = || {
            #[cfg(feature = "fs")]
            crate::fs::shutdown();
            #[cfg(feature = "block")]
            crate::fs::block::shutdown();
        };
        crate::core::run_on_all(take_leave, PATIENCE);
    }
}
