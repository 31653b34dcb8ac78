//! What the server says of its own accord: that something which we remember does not hold any more.
//!
//! The worst that a message can do is to make us ask again. A node that we do not have needs no attention, and a message
//! that breaks a rule gets none (HD-FS-43). Questions of the server are not answered: nothing that we remember of files is
//! newer than what it has.

use alloc::rc::Rc;

use fuse_proto::Notification;

use super::Client;
use super::connection::Listener;

impl Client {
    /// Listens from now on, where the server can say something.
    pub(super) fn listen(self: &Rc<Self>) {
        let me: Rc<dyn Listener> = Rc::clone(self) as Rc<dyn Listener>;
        self.connection.set_listener(Rc::downgrade(&me));
    }
}

impl Listener for Client {
    fn hear(&self, message: &[u8]) {
        match Notification::parse(message) {
            Ok(Notification::InvalidateNode { node, data: _ } | Notification::Store { node, .. }) => {
                if let Some(node) = self.known(node) {
                    node.note_attribute_change();
                    node.distrust_attributes();
                }
            }
            // A node that is still open below the name stays usable in either case: handles are not names.
            Ok(Notification::InvalidateEntry { parent, name, staleness: _ }) => {
                if let Some(parent) = self.known(parent) {
                    parent.note_name_change(name.as_bytes());
                }
            }
            Ok(Notification::Delete { parent, child, name }) => {
                if let Some(parent) = self.known(parent) {
                    parent.note_name_change(name.as_bytes());
                }
                if let Some(child) = self.known(child) {
                    child.note_attribute_change();
                    child.distrust_attributes();
                }
            }
            Ok(Notification::NextEpoch) => self.names.clear(),
            Ok(_) => log::debug!("virtio-fs: a message that needs no attention"),
            Err(defect) => log::debug!("virtio-fs: a message that is none: {defect}"),
        }
    }
}
