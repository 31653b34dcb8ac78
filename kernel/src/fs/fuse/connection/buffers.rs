//! Memory that requests are made of: taken from the device, and given back to it.

use fuse_proto::Errno;
use toro_core::DmaBuf;
use toro_core::driver::fuse::FuseRequest;

use super::{Connection, SHORTAGE};

impl Connection {
    /// A buffer of the device, `size` bytes long.
    pub fn buffer(&self, size: usize) -> Option<DmaBuf> {
        self.device.borrow_mut().buffer(size)
    }

    /// A buffer of the device; waits for one while memory is short.
    ///
    /// # Errors
    ///
    /// ENOMEM if there is none for as long as a request may take.
    pub fn buffer_in_time(&self, size: usize) -> Result<DmaBuf, Errno> {
        let deadline = self.deadline();
        loop {
            if let Some(buffer) = self.buffer(size) {
                return Ok(buffer);
            }
            let now = self.now();
            if now >= deadline || size > self.limits.max_payload {
                return Err(Errno::ENOMEM);
            }
            // Completions bring buffers back, but so does whoever lets go of one that it had read.
            self.room.wait_until(now.saturating_add(SHORTAGE).min(deadline));
        }
    }

    /// Gives one buffer back to the device.
    pub fn recycle_buffer(&self, buffer: DmaBuf) {
        self.device.borrow_mut().recycle(buffer);
    }

    /// Gives buffers back to the device.
    pub fn recycle(&self, buffers: FuseRequest) {
        let mut device = self.device.borrow_mut();
        let FuseRequest { request, data, reply, payload, .. } = buffers;
        [Some(request), data, reply, payload].into_iter().flatten().for_each(|buffer| device.recycle(buffer));
    }
}
