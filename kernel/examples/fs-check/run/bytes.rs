//! What is done with the contents of files.

use alloc::format;
use alloc::vec;

use toro::fs::{self, OpenOptions};

use super::{HANDLES, Handle, Kind, Run, answered_once, file_at, opened};
use crate::model::Object;
use crate::outcome::{Checked, same, same_bytes, worked};

/// The longest file.
const LONGEST: u64 = 300_000;
/// The most bytes in a call.
const MOST: u64 = 70_000;
/// What places and lengths are near to, to meet the edges of pages and requests.
const EDGES: [u64; 6] = [0, 4096, 32_768, 65_536, 131_072, 262_144];

impl Run {
    /// A place in a file: at the edge of something, or anywhere.
    fn offset(&mut self) -> u64 {
        if self.random.once_in(3) {
            let edge = self.random.one_of(&EDGES).copied().unwrap_or_default();
            return (edge + self.random.within(0..=2)).saturating_sub(1);
        }
        self.random.within(0..=LONGEST - MOST)
    }

    fn length(&mut self) -> u64 {
        match self.random.within(0..=3) {
            0 => self.random.within(1..=64),
            1 => 4096,
            2 => self.random.within(1..=9000),
            _ => self.random.within(1..=MOST),
        }
    }

    /// Does something with one of the handles; opens one where there is none.
    fn with_handle(&mut self, work: impl FnOnce(&mut Self, &Handle) -> Checked) -> Checked {
        if self.handles.is_empty() {
            return self.open();
        }
        let index = self.random.index(self.handles.len());
        let handle = self.handles.swap_remove(index);
        let result = work(self, &handle);
        self.handles.push(handle);
        result
    }

    pub(super) fn write(&mut self) -> Checked {
        self.with_handle(|run, handle| {
            let (offset, length) = (run.offset(), run.length());
            let bytes = run.random.bytes(length as usize);
            let what = format!("{length} bytes written at {offset}");
            same(&what, worked(&what, handle.file.write_at(&bytes, offset))?, bytes.len())?;
            let at = if handle.appends { None } else { Some(offset) };
            put(&handle.object, at, &bytes);
            same(&what, worked(&what, handle.file.metadata())?.len(), length_of(&handle.object))
        })
    }

    pub(super) fn append(&mut self) -> Checked {
        let path = self.file_path();
        let (full, length) = (self.path(&path), self.random.within(1..=5000));
        let bytes = self.random.bytes(length as usize);
        let object = file_at(&self.model, &path);
        let file = opened(&full, OpenOptions::new().append(true));
        match (file, object) {
            (Ok(file), Ok(object)) if length_of(&object) < LONGEST => {
                same(&full, worked(&full, file.write_at(&bytes, 0))?, bytes.len())?;
                put(&object, None, &bytes);
                Ok(())
            }
            (result, object) => answered_once(&format!("{full} opened for appending"), result, object.map(drop)),
        }
    }

    pub(super) fn read(&mut self) -> Checked {
        self.with_handle(|run, handle| {
            let (offset, length) = (run.offset(), run.length());
            let mut bytes = vec![0; length as usize];
            let what = format!("{length} bytes read at {offset}");
            let count = worked(&what, handle.file.read_at(&mut bytes, offset))?;
            let inode = handle.object.borrow();
            let Kind::File(contents) = &inode.kind else { return Ok(()) };
            let start = contents.len().min(offset as usize);
            let end = contents.len().min((offset + length) as usize);
            let wanted = contents.get(start..end).unwrap_or_default();
            same_bytes(&what, bytes.get(..count).unwrap_or_default(), wanted)
        })
    }

    pub(super) fn set_length(&mut self) -> Checked {
        self.with_handle(|run, handle| {
            let length = run.offset();
            let what = format!("length {length}");
            worked(&what, handle.file.set_len(length))?;
            let mut inode = handle.object.borrow_mut();
            inode.modified = None;
            if let Kind::File(contents) = &mut inode.kind {
                contents.resize(length as usize, 0);
            }
            same(&what, worked(&what, handle.file.metadata())?.len(), length)
        })
    }

    pub(super) fn read_whole(&mut self) -> Checked {
        let path = self.file_path();
        let full = self.path(&path);
        match (fs::read(&full), file_at(&self.model, &path)) {
            (Ok(bytes), Ok(object)) => match &object.borrow().kind {
                Kind::File(contents) => same_bytes(&full, &bytes, contents),
                _ => Ok(()),
            },
            (result, object) => answered_once(&format!("{full} read"), result, object.map(drop)),
        }
    }

    /// All of a file is replaced, or a part cut off at once: what `fs::write` and truncating do.
    pub(super) fn replace(&mut self) -> Checked {
        let path = self.file_path();
        let (full, length) = (self.path(&path), self.random.within(0..=20_000));
        let bytes = self.random.bytes(length as usize);
        let object = file_at(&self.model, &path);
        let file = opened(&full, OpenOptions::new().write(true).truncate(true));
        match (file, object) {
            (Ok(file), Ok(object)) => {
                worked(&full, file.write_all_at(&bytes, 0))?;
                let mut inode = object.borrow_mut();
                inode.kind = Kind::File(bytes);
                inode.modified = None;
                Ok(())
            }
            (result, object) => answered_once(&format!("{full} emptied"), result, object.map(drop)),
        }
    }

    pub(super) fn copy(&mut self) -> Checked {
        let (from, to) = (self.file_path(), self.file_path());
        let (source, target) = (file_at(&self.model, &from), file_at(&self.model, &to));
        let (Ok(source), Ok(target)) = (source, target) else { return Ok(()) };
        if super::is_same(&source, &target) {
            return Ok(());
        }
        let (full_from, full_to) = (self.path(&from), self.path(&to));
        let what = format!("{full_from} copied to {full_to}");
        let count = worked(&what, fs::copy(&full_from, &full_to))?;
        same(&what, count, length_of(&source))?;
        let (source, mut target) = (source.borrow(), target.borrow_mut());
        // Permissions go with it, as in std.
        (target.kind, target.mode, target.modified) = (source.kind.clone(), source.mode, None);
        Ok(())
    }

    pub(super) fn make_stable(&mut self) -> Checked {
        self.with_handle(|run, handle| {
            if run.random.once_in(2) {
                worked("making data stable", handle.file.sync_data())
            } else {
                worked("making all stable", handle.file.sync_all())
            }
        })
    }

    pub(super) fn open(&mut self) -> Checked {
        let path = self.file_path();
        let (full, appends) = (self.path(&path), self.random.once_in(5));
        if self.handles.len() >= HANDLES {
            return self.close();
        }
        let file = opened(&full, OpenOptions::new().read(true).write(!appends).append(appends));
        match (file, file_at(&self.model, &path)) {
            (Ok(file), Ok(object)) => {
                self.handles.push(Handle { file, object, appends });
                Ok(())
            }
            (result, object) => answered_once(&format!("{full} opened"), result, object.map(drop)),
        }
    }

    pub(super) fn close(&mut self) -> Checked {
        if self.handles.is_empty() {
            return Ok(());
        }
        let index = self.random.index(self.handles.len());
        worked("closing", self.handles.swap_remove(index).file.close())
    }
}

fn length_of(object: &Object) -> u64 {
    match &object.borrow().kind {
        Kind::File(contents) => contents.len() as u64,
        _ => 0,
    }
}

/// Writes into the model; without a place behind the end.
fn put(object: &Object, offset: Option<u64>, bytes: &[u8]) {
    let mut inode = object.borrow_mut();
    inode.modified = None;
    let Kind::File(contents) = &mut inode.kind else { return };
    let start = offset.map_or(contents.len(), |offset| offset as usize);
    let end = start + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    if let Some(place) = contents.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}
