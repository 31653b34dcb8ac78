//! Other numbers for the same objects, as a server that was started anew gives them.

use super::{Contents, Server};

impl Server {
    /// Gives each object but the root the number that `change` makes of its own.
    pub fn renumber(&mut self, change: impl Fn(u64) -> u64) {
        let change = |number| if number == 1 { 1 } else { change(number) };
        for inode in self.inodes.values_mut() {
            if let Contents::Directory(names) = &mut inode.contents {
                names.values_mut().for_each(|number| *number = change(*number));
            }
        }
        let inodes = core::mem::take(&mut self.inodes);
        self.inodes = inodes.into_iter().map(|(number, inode)| (change(number), inode)).collect();
        self.next_inode = self.inodes.keys().max().map_or(2, |last| last + 1);
    }
}
