//! What is done with names.

use alloc::format;
use alloc::string::ToString;

use toro::fs::{self, OpenOptions};
use toro::io::ErrorKind;

use super::{HANDLES, Handle, Kind, Model, NAMES, Run, answered, answered_once, listed};
use crate::model::{LastLink, is_below};
use crate::outcome::{Checked, same};

impl Run {
    pub(super) fn create(&mut self) -> Checked {
        let path = self.some_path();
        if self.is_full() {
            return self.remove();
        }
        let (full, mode) = (self.path(&path), if self.features.modes { 0o600 } else { 0o644 });
        let expected = self.model.place(&path).and_then(|place| match self.model.at(&place) {
            Some(_) => Err(ErrorKind::AlreadyExists),
            None => Ok(place),
        });
        let result = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&full);
        match (result, expected) {
            (Ok(file), Ok(place)) => {
                let object = Model::object(Kind::File(Default::default()), mode);
                self.model.put(place, object.clone());
                if self.handles.len() < HANDLES {
                    self.handles.push(Handle { file, object, appends: false });
                }
                Ok(())
            }
            (result, expected) => answered_once(&format!("{full} created"), result, expected.map(drop)),
        }
    }

    pub(super) fn create_directory(&mut self) -> Checked {
        let path = self.some_path();
        if self.is_full() {
            return self.remove();
        }
        let full = self.path(&path);
        let expected = self.model.place(&path).and_then(|place| match self.model.at(&place) {
            Some(_) => Err(ErrorKind::AlreadyExists),
            None => Ok(place),
        });
        let result = fs::create_dir(&full);
        answered_once(&format!("directory {full} created"), result, expected.as_ref().map(drop).map_err(|kind| *kind))?;
        if let Ok(place) = expected {
            self.model.put(place, Model::object(Kind::Directory, 0o755));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self) -> Checked {
        let path = self.path_of(|inode| inode.kind != Kind::Directory);
        let full = self.path(&path);
        let expected = self.model.place(&path).and_then(|place| match self.model.at(&place) {
            Some(object) if object.borrow().kind == Kind::Directory => Err(ErrorKind::IsADirectory),
            Some(_) => Ok(place),
            None => Err(ErrorKind::NotFound),
        });
        let result = fs::remove_file(&full);
        answered_once(&format!("{full} removed"), result, expected.as_ref().map(drop).map_err(|kind| *kind))?;
        if let Ok(place) = expected {
            self.model.take(&place);
        }
        Ok(())
    }

    pub(super) fn remove_directory(&mut self) -> Checked {
        let path = self.path_of(|inode| inode.kind == Kind::Directory);
        let full = self.path(&path);
        let expected = self.model.place(&path).and_then(|place| match self.model.at(&place) {
            Some(object) if object.borrow().kind != Kind::Directory => Err(ErrorKind::NotADirectory),
            Some(_) if self.model.is_full(&place) => Err(ErrorKind::DirectoryNotEmpty),
            Some(_) => Ok(place),
            None => Err(ErrorKind::NotFound),
        });
        let result = fs::remove_dir(&full);
        answered_once(&format!("directory {full} removed"), result, expected.as_ref().map(drop).map_err(|kind| *kind))?;
        if let Ok(place) = expected {
            self.model.take(&place);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self) -> Checked {
        let (from, to) = (self.path_of(|_| true), self.some_path());
        let what = format!("{} renamed to {}", self.path(&from), self.path(&to));
        let places = self.model.place(&from).and_then(|from| Ok((from, self.model.place(&to)?)));
        let result = fs::rename(self.path(&from), self.path(&to));
        let (from, to) = match places {
            Ok(places) => places,
            // Which of the two paths is looked at first is not said.
            Err(_) => {
                let other = self.model.place(&to).err();
                let kinds = [self.model.place(&from).err(), other].into_iter().flatten();
                let missing = self.model.place(&from).is_ok_and(|place| self.model.at(&place).is_none());
                let kinds: alloc::vec::Vec<_> = kinds.chain(missing.then_some(ErrorKind::NotFound)).collect();
                return answered(&what, result, Err(&kinds));
            }
        };
        let expected = self.model.rename(&from, &to);
        answered(&what, result, expected)?;
        let is_same = match (self.model.at(&from), self.model.at(&to)) {
            (Some(from), Some(to)) => super::is_same(&from, &to),
            _ => false,
        };
        // Two names of one file are left as they are.
        if expected.is_ok() && !is_same {
            self.model.shift(&from, &to);
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self) -> Checked {
        let (one, other) = (self.path_of(|_| true), self.path_of(|_| true));
        let places = self.model.place(&one).and_then(|one| Ok((one, self.model.place(&other)?)));
        let Ok((one, other)) = places else { return Ok(()) };
        let is_nested = is_below(&one, &other) || is_below(&other, &one);
        let (Some(first), Some(second)) = (self.model.at(&one), self.model.at(&other)) else { return Ok(()) };
        if !self.features.exchange || is_nested || super::is_same(&first, &second) {
            return Ok(());
        }
        let what = format!("{} and {} exchanged", self.path(&one), self.path(&other));
        answered(&what, fs::exchange(self.path(&one), self.path(&other)), Ok(()))?;
        self.model.swap(&one, &other);
        Ok(())
    }

    pub(super) fn link(&mut self) -> Checked {
        let (from, to) = (self.file_path(), self.some_path());
        if !self.features.links || self.is_full() {
            return self.remove();
        }
        let what = format!("{} linked as {}", self.path(&from), self.path(&to));
        let (Ok((_, object)), Ok(place)) = (self.model.find(&from, LastLink::Keep), self.model.place(&to)) else {
            return Ok(());
        };
        if matches!(object.borrow().kind, Kind::Symlink(_)) {
            return Ok(());
        }
        let is_taken = self.model.at(&place).is_some();
        let expected: Result<(), &[ErrorKind]> = match (is_taken, object.borrow().kind == Kind::Directory) {
            (false, false) => Ok(()),
            (true, false) => Err(&[ErrorKind::AlreadyExists]),
            (_, true) => Err(&[ErrorKind::PermissionDenied, ErrorKind::AlreadyExists]),
        };
        answered(&what, fs::hard_link(self.path(&from), self.path(&to)), expected)?;
        if expected.is_ok() {
            self.model.put(place, object);
        }
        Ok(())
    }

    pub(super) fn symlink(&mut self) -> Checked {
        let path = self.some_path();
        if !self.features.symlinks || self.is_full() {
            return self.remove();
        }
        let target = self.random.one_of(&NAMES).copied().unwrap_or("a");
        let full = self.path(&path);
        let expected = self.model.place(&path).and_then(|place| match self.model.at(&place) {
            Some(_) => Err(ErrorKind::AlreadyExists),
            None => Ok(place),
        });
        let what = format!("symbolic link {full} created");
        answered_once(&what, fs::symlink(target, &full), expected.as_ref().map(drop).map_err(|kind| *kind))?;
        if let Ok(place) = expected {
            self.model.put(place, Model::object(Kind::Symlink(target.to_string()), 0o777));
        }
        Ok(())
    }

    pub(super) fn list(&mut self) -> Checked {
        let path = self.path_of(|inode| inode.kind == Kind::Directory);
        let full = self.path(&path);
        match self.model.find(&path, LastLink::Follow) {
            Ok((place, object)) if object.borrow().kind == Kind::Directory => {
                let wanted = self.model.names(&place).into_iter().map(Into::into).collect();
                same(&full, listed(&full)?, wanted)
            }
            Ok(_) => answered_once(&full, fs::read_dir(&full), Err(ErrorKind::NotADirectory)),
            Err(kind) => answered_once(&full, fs::read_dir(&full), Err(kind)),
        }
    }

    pub(super) fn look(&mut self) -> Checked {
        let path = if self.random.once_in(2) { self.some_path() } else { self.path_of(|_| true) };
        let full = self.path(&path);
        let followed = self.model.find(&path, LastLink::Follow);
        answered_once(&format!("{full} looked at"), fs::metadata(&full), followed.map(drop))?;
        match self.model.find(&path, LastLink::Keep) {
            Ok((_, object)) => self.compare_attributes(&full, &object.borrow()),
            Err(kind) => answered_once(&full, fs::symlink_metadata(&full), Err(kind)),
        }
    }
}
