//! How a share is, and another session with its server.

use alloc::rc::Rc;

use fuse_proto::ops::{Destroy, StatFs};
use fuse_proto::{Errno, NodeId};

use super::Share;
use crate::fs::fuse::Client;
use crate::fs::fuse::connection::Late;
use crate::fs::metadata::FileSystemStats;
use crate::fs::statistics::Statistics;
use crate::fs::vfs::{Health, Upkeep};

impl Upkeep for Client {
    fn statistics(&self) -> Option<Statistics> {
        Some(self.statistics.get())
    }

    fn stats(&self) -> Result<FileSystemStats, Errno> {
        let operation = StatFs { node: NodeId::ROOT };
        self.connection.call(&operation, Late::Nothing, None, |status| FileSystemStats {
            block_size: status.fragment_size,
            blocks: status.blocks,
            blocks_free: status.blocks_free,
            blocks_available: status.blocks_available,
            files: status.files,
            files_free: status.files_free,
            name_max: status.name_len,
        })
    }
}

impl Upkeep for Share {
    fn statistics(&self) -> Option<Statistics> {
        self.client().statistics()
    }

    fn stats(&self) -> Result<FileSystemStats, Errno> {
        self.client().stats()
    }

    fn health(&self) -> Health {
        let trouble = if self.ended.get() { Some(Errno::ENOTCONN) } else { self.connection.borrow().trouble() };
        trouble.map_or(Health::Working, Health::Failed)
    }

    fn remount(&self) -> Result<(), Errno> {
        if self.remounting.replace(true) {
            return Err(Errno::EBUSY);
        }
        let result = self.begin_again();
        self.remounting.set(false);
        result
    }
}

impl Share {
    fn begin_again(&self) -> Result<(), Errno> {
        if self.ended.get() {
            return Err(Errno::ENOTCONN);
        }
        let old = Rc::clone(&self.connection.borrow());
        let errno = old.trouble().ok_or(Errno::EBUSY)?;
        log::warn!("virtio-fs: the session is lost ({errno}); beginning another one");
        let connection = old.renew()?;
        *self.connection.borrow_mut() = Rc::clone(&connection);
        (self.announce)(&connection);
        self.client().abandon();
        // A server that has survived lets go of what it holds for the session of before. One that was started anew refuses.
        if connection.call(&Destroy, Late::Nothing, None, |()| ()) == Err(Errno::ETIMEDOUT) {
            return Err(Errno::ETIMEDOUT);
        }
        self.epoch.set(self.epoch.get().next());
        let client = Client::begin(connection, self.options, self.epoch.get())?;
        *self.client.borrow_mut() = client;
        Ok(())
    }
}
