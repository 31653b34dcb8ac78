//! Extended attributes: values with names, beside the contents.
//!
//! Nobody knows how long a value is before he has asked, and it may grow between the question for its length and the one
//! for itself. So both are asked again when the second is answered with ERANGE, a few times and no more.
//!
//! Lengths are the server's word, and no more than 64 KiB are made room for (HD-FS-32); lists are checked by `fuse-proto`
//! before they are looked at (HD-FS-31). A server without extended attributes says ENOSYS once, and it is EOPNOTSUPP from
//! then on (FU-SEM-8); one that has been told to do without answers EOPNOTSUPP itself. Nothing is remembered of values: they
//! are asked for rarely.

use alloc::boxed::Box;
use alloc::vec::Vec;

use fuse_proto::ops::{self, GetXattr, GetXattrLen, ListXattr, ListXattrLen, RemoveXattr, SetXattr, SetXattrForm};
use fuse_proto::{Errno, NameError, Operation, Plan, XattrName};

use super::{Extent, FuseNode};
use crate::fs::fuse::connection::{Late, payload};
use crate::fs::vfs::XattrMode;

/// How often a value is asked for that grows all the time.
const ATTEMPTS: usize = 4;

/// The longest value, in bytes.
const VALUE_MAX: usize = 64 * 1024;

fn checked(name: &[u8]) -> Result<XattrName<'_>, Errno> {
    XattrName::new(name).map_err(|error| match error {
        NameError::TooLong | NameError::Empty => Errno::ERANGE,
        _ => Errno::EINVAL,
    })
}

impl FuseNode {
    /// The value of an attribute.
    pub(super) fn get_xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let (node, name) = (self.number(), checked(name)?);
        self.read_sized(
            || self.ask(&GetXattrLen { node, name }, |length| length),
            |capacity| self.ask_for_bytes(&GetXattr { node, name, capacity }, capacity, <[u8]>::to_vec),
        )
    }

    /// The names of all attributes.
    pub(super) fn list_xattrs(&self) -> Result<Vec<Box<[u8]>>, Errno> {
        let node = self.number();
        self.read_sized(
            || self.ask(&ListXattrLen { node }, |length| length),
            |capacity| {
                let operation = ListXattr { node, capacity };
                self.ask_for_bytes(&operation, capacity, |names| names.map(|name| name.as_bytes().into()).collect())
            },
        )
    }

    /// Sets an attribute.
    pub(super) fn put_xattr(&self, name: &[u8], value: &[u8], mode: XattrMode) -> Result<(), Errno> {
        let name = checked(name)?;
        if value.len() > VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let mode = match mode {
            XattrMode::Any => ops::XattrMode::Any,
            XattrMode::Create => ops::XattrMode::Create,
            XattrMode::Replace => ops::XattrMode::Replace,
        };
        let form = SetXattrForm::of(&self.client.session.borrow());
        self.change_xattrs(&SetXattr { node: self.number(), name, value, mode, form })
    }

    /// Removes an attribute.
    pub(super) fn take_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.change_xattrs(&RemoveXattr { node: self.number(), name: checked(name)? })
    }

    fn change_xattrs<O: for<'a> Operation<Reply<'a> = ()>>(&self, operation: &O) -> Result<(), Errno> {
        self.plan_for::<O>()?;
        // An access control list is an attribute, too, and changes the mode.
        let result = self.change_by(Extent::Attributes, self.keep(), |keep| {
            self.client.connection.call(operation, Late::Nothing, keep, |()| ())
        });
        result.map_err(|errno| self.remember_lack::<O>(errno))
    }

    /// Asks for a length and then for as many bytes, until that is enough.
    fn read_sized<T: Default>(
        &self,
        length: impl Fn() -> Result<u32, Errno>,
        read: impl Fn(u32) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        for _ in 0..ATTEMPTS {
            match length()? {
                0 => return Ok(T::default()),
                capacity => match read(capacity) {
                    Err(Errno::ERANGE) => {}
                    result => return result,
                },
            }
        }
        Err(Errno::ERANGE)
    }

    /// Sends an operation that a server need not have.
    fn ask<O: Operation, T>(&self, operation: &O, use_reply: impl FnOnce(O::Reply<'_>) -> T) -> Result<T, Errno> {
        self.plan_for::<O>()?;
        let result = self.client.connection.call(operation, Late::Nothing, self.keep(), use_reply);
        result.map_err(|errno| self.remember_lack::<O>(errno))
    }

    /// Likewise, for an answer of up to `capacity` bytes, which go to a buffer of their own.
    fn ask_for_bytes<O: Operation, T>(
        &self,
        operation: &O,
        capacity: u32,
        use_reply: impl FnOnce(O::Reply<'_>) -> T,
    ) -> Result<T, Errno> {
        self.plan_for::<O>()?;
        let connection = &self.client.connection;
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        if capacity > connection.limits().max_payload {
            return Err(Errno::E2BIG);
        }
        let buffer = connection.buffer_in_time(capacity)?;
        let answer = connection.submit(operation, Some(buffer), Late::Nothing, self.keep())?.wait()?;
        let result = payload(operation, answer.unique, &answer.buffers)
            .and_then(|payload| operation.parse(payload))
            .map(use_reply);
        connection.recycle(answer.buffers);
        result.map_err(|error| self.remember_lack::<O>(connection.judge(error)))
    }

    fn plan_for<O: Operation>(&self) -> Result<(), Errno> {
        self.check()?;
        match self.client.plan(O::OPCODE) {
            Plan::Refuse(errno) => Err(errno),
            _ => Ok(()),
        }
    }

    /// What an error means to the caller.
    fn remember_lack<O: Operation>(&self, errno: Errno) -> Errno {
        match errno {
            Errno::ENOSYS => match self.client.learn_unsupported(O::OPCODE) {
                Some(Plan::Refuse(errno)) => errno,
                _ => Errno::EOPNOTSUPP,
            },
            errno => errno,
        }
    }
}
