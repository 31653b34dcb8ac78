//! Attributes: what is known of an object, since when, and until when.
//!
//! ```text
//!   version   1          2          3           4          5
//!             GETATTR    SETATTR    ...         changed    GETATTR
//!             asked      asked      answered -->'          asked
//!             |                                            |
//!             '-- answered here or later: dropped          '-- answered: learned, until its lifetime is over
//! ```
//!
//! Attributes hold until the server's promise runs out. Answers overtake each other and the changes that are made
//! meanwhile, so every question and every change has a [`Version`], one number in the order in which they happened here. An
//! answer counts only if it was asked for after the newest one that is known, and after the last change from here had come
//! back (FU-SEM-5): what was asked before may describe the object before the change. So a length never goes back after a
//! write, and a mode never after `set_permissions`.
//!
//! A node that is forgotten takes its versions along, and an answer that is still on its way may bring the object back. So the
//! mount remembers the last change of all that are gone, and attributes that were asked for before it do not last.
//!
//! A change counts when it has *failed*, too, or was given up: the server may have made it, or half of it.
//!
//! # What is changed through an open file
//!
//! SETATTR goes through a handle where one is open, because that works when the file has no name any more (FU-SEM-14).
//!
//! # Who may
//!
//! Requests are made in the name of the superuser, who owns what is created. The server's own rights, and what the host
//! makes of the superuser, decide (FU-SEM-16); nothing is checked here.

use alloc::rc::Rc;
use core::any::Any;
use core::cell::Cell;
use core::time::Duration;

use fuse_proto::ops::{self, GetAttr, SetAttr, TimeChange};
use fuse_proto::{Attributes, Errno, FileHandle, Timestamp};
use toro_core::Instant;

use super::FuseNode;
use crate::fs::fuse::connection::{Keep, Late};
use crate::fs::fuse::handle::Handle;
use crate::fs::metadata::{self, AttributeChanges};

/// A moment in the order of questions and changes of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The one after it.
    pub fn next(self) -> Self {
        // At one per nanosecond it comes round after 584 years.
        Self(self.0.wrapping_add(1))
    }
}

/// Attributes as they came.
pub struct Learned {
    /// The attributes.
    pub attributes: Attributes,
    /// How long they hold, from now.
    pub lifetime: Duration,
    /// When they were asked for.
    pub asked: Version,
}

/// How much of an object a change changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Attributes other than the length.
    Attributes,
    /// All of it.
    Contents,
}

/// A change of an object that is under way. When it has been answered, or given up and answered later, what was known of
/// the object does not hold.
pub struct Change {
    node: Rc<FuseNode>,
    extent: Extent,
    /// Whether somebody has taken note of it in a way of his own.
    is_noted: Cell<bool>,
    /// What the request keeps alive besides.
    _keep: Keep,
}

impl Change {
    /// What a request that makes the change keeps alive.
    pub fn keep(self: &Rc<Self>) -> Keep {
        let change: Rc<dyn Any> = Rc::clone(self) as Rc<dyn Any>;
        Some(change)
    }

    /// Says that it has been answered in time, and that the caller takes note of it.
    pub fn is_noted(&self) {
        self.is_noted.set(true);
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if !self.is_noted.get() {
            self.node.note(self.extent);
        }
    }
}

impl FuseNode {
    /// Remembers attributes, unless they were asked for before those that are known, or before the last change from here.
    pub fn learn(&self, learned: &Learned) {
        if learned.asked < self.attributes_asked.get().max(self.attributes_changed.get()) {
            return;
        }
        let (old, new) = (self.attributes.get(), &learned.attributes);
        if (old.size, old.modified, old.changed) != (new.size, new.modified, new.changed) {
            // And what is on its way may be from before.
            self.changes.set(self.changes.get().wrapping_add(1));
            self.set_contents(None);
        }
        self.attributes.set(learned.attributes);
        self.attributes_asked.set(learned.asked);
        let until = self.client.now().saturating_add(learned.lifetime);
        self.attributes_until.set(until);
        self.size_until.set(until);
    }

    /// Takes note that the file was changed from here, or may have been: what was known of it, and what is being asked for
    /// already, does not hold (FU-SEM-5).
    pub fn note_change(&self) {
        self.changes.set(self.changes.get().wrapping_add(1));
        self.note_attribute_change();
        self.distrust_attributes();
        self.client.unstable.insert(self);
    }

    fn note(&self, extent: Extent) {
        match extent {
            Extent::Contents => self.note_change(),
            Extent::Attributes => self.note_attribute_change(),
        }
    }

    /// A change of the object that is about to be asked for; the request keeps it alive, and with it `keep`. It is noted when
    /// the request has been answered, however late.
    pub fn begin_change(&self, extent: Extent, keep: Keep) -> Rc<Change> {
        Rc::new(Change { node: self.handle_to_self(), extent, is_noted: Cell::new(false), _keep: keep })
    }

    /// Changes the object by what `send` asks for, with a request that keeps alive what it is given, and `keep` with it. Takes
    /// note of the change when the request has been answered, and when it was given up, then and once more with its answer.
    ///
    /// # Errors
    ///
    /// Those of `send`.
    pub fn change_by<T>(
        &self,
        extent: Extent,
        keep: Keep,
        send: impl FnOnce(Keep) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let change = self.begin_change(extent, keep);
        let result = send(change.keep());
        if result.is_err() {
            // It may have been given up: then the request has the change, and notes it once more.
            self.note(extent);
        }
        drop(change);
        result
    }

    /// Takes note that attributes other than the length were changed from here, or may have been. The contents stay as they
    /// are.
    pub fn note_attribute_change(&self) {
        self.attributes_changed.set(self.client.next_version());
        self.attributes_until.set(Instant::from_nanos(0));
    }

    /// Takes note that the file was written up to `end`. Its length is known as well as before.
    pub fn note_written(&self, end: u64) {
        let size_until = self.size_until.get();
        self.note_change();
        let mut attributes = self.attributes.get();
        attributes.size = attributes.size.max(end);
        self.attributes.set(attributes);
        self.size_until.set(size_until);
    }

    /// When something about it was last changed from here.
    pub fn changed(&self) -> Version {
        self.attributes_changed.get()
    }

    /// How often it was changed from here. What was read while the number stayed the same is good.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Says that the attributes turned out to be wrong.
    pub fn distrust_attributes(&self) {
        self.attributes_until.set(Instant::from_nanos(0));
        self.size_until.set(Instant::from_nanos(0));
        self.set_contents(None);
    }

    /// Until when the attributes hold.
    pub fn attributes_until(&self) -> Instant {
        self.attributes_until.get()
    }

    /// The size of the file, if what is known of it still holds.
    pub fn known_size(&self) -> Option<u64> {
        (self.client.now() < self.size_until.get()).then(|| self.attributes.get().size)
    }

    /// Its attributes, asked for through `handle` if they have to be asked for.
    ///
    /// # Errors
    ///
    /// ESTALE, and what the server says.
    pub fn attributes(&self, handle: Option<FileHandle>) -> Result<Attributes, Errno> {
        self.check()?;
        if self.client.now() < self.attributes_until.get() {
            return Ok(self.attributes.get());
        }
        let asked = self.client.next_version();
        let operation = GetAttr { node: self.number(), handle, expected: Some(self.identity.file_type) };
        let connection = &self.client.connection;
        let reply = connection.call(&operation, Late::Nothing, self.keep(), |reply| reply)?;
        self.learn(&Learned { attributes: reply.attributes, lifetime: reply.lifetime, asked });
        Ok(reply.attributes)
    }

    /// Sets attributes, the length among them. `keep` is what the request keeps alive: the handle, if it goes through one.
    ///
    /// # Errors
    ///
    /// ESTALE, and what the server says.
    pub fn change_attributes(&self, changes: ops::AttributeChanges, keep: Keep) -> Result<(), Errno> {
        self.check()?;
        let extent = if changes.size.is_some() { Extent::Contents } else { Extent::Attributes };
        let asked = self.client.next_version();
        let operation = SetAttr { node: self.number(), expected: Some(self.identity.file_type), changes };
        let connection = &self.client.connection;
        let (reply, is_alone) = self.change_by(extent, keep, |keep| {
            let reply = connection.call(&operation, Late::Nothing, keep, |reply| reply)?;
            // What it says is the object as it is after this change; whether also after another one is not known.
            Ok((reply, asked > self.attributes_changed.get()))
        })?;
        if is_alone {
            let asked = self.attributes_changed.get();
            self.learn(&Learned { attributes: reply.attributes, lifetime: reply.lifetime, asked });
        }
        Ok(())
    }

    /// Sets what an application may set.
    pub(super) fn apply(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        if changes.is_empty() {
            return self.check();
        }
        let handle = self.handle.borrow().upgrade();
        let keep = handle.as_ref().map_or_else(|| self.keep(), Handle::keep);
        let changes = ops::AttributeChanges {
            handle: handle.as_ref().and_then(|handle| handle.handle),
            mode: changes.mode.map(|mode| mode & 0o7777),
            uid: changes.uid,
            gid: changes.gid,
            accessed: changes.accessed.map(time_change),
            modified: changes.modified.map(time_change),
            ..ops::AttributeChanges::default()
        };
        self.change_attributes(changes, keep)
    }
}

fn time_change(change: metadata::TimeChange) -> TimeChange {
    match change {
        metadata::TimeChange::Now => TimeChange::Now,
        metadata::TimeChange::To(time) => {
            TimeChange::To(Timestamp { seconds: time.seconds, nanoseconds: time.nanoseconds })
        }
    }
}
