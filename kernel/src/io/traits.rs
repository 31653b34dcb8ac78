//! Sources and sinks of bytes.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Error, ErrorKind, IoSlice, IoSliceMut, Result};

/// Bytes that [`Read::read_to_end`] asks for at a time.
const CHUNK: usize = 16 * 1024;

/// A source of bytes.
pub trait Read {
    /// Reads some bytes into `buffer` and returns how many; 0 means the end, or an empty buffer.
    ///
    /// # Errors
    ///
    /// Those of the source. Nothing has been read then.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// The same into several pieces, one after the other. Unless a source knows better, it is one read into the first
    /// piece that is not empty.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        match buffers.iter_mut().find(|piece| !piece.is_empty()) {
            Some(piece) => self.read(piece),
            None => self.read(&mut []),
        }
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`] if the source ends before; else those of the source.
    fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = buffer.get_mut(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends everything up to the end to `bytes` and returns how much that was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfMemory`]; else those of the source. What was read before stays in `bytes`.
    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> Result<usize> {
        let start = bytes.len();
        loop {
            let filled = bytes.len();
            bytes.try_reserve(CHUNK).map_err(|_| ErrorKind::OutOfMemory)?;
            bytes.resize(filled + CHUNK, 0);
            let result = self.read(bytes.get_mut(filled..).unwrap_or_default());
            bytes.truncate(filled + result.as_ref().map_or(0, |&count| count.min(CHUNK)));
            match result {
                Ok(0) => return Ok(bytes.len() - start),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends everything up to the end to `text` and returns how many bytes that was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidData`] if it is not UTF-8, and `text` is unchanged then; else as [`Self::read_to_end`].
    fn read_to_string(&mut self, text: &mut String) -> Result<usize> {
        let mut bytes = Vec::new();
        let count = self.read_to_end(&mut bytes)?;
        let read = core::str::from_utf8(&bytes)
            .map_err(|_| Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))?;
        text.push_str(read);
        Ok(count)
    }

    /// The source itself as a borrowed one.
    fn by_ref(&mut self) -> &mut Self
    where
        Self: Sized,
    {
        self
    }
}

/// A sink for bytes.
pub trait Write {
    /// Writes some of `buffer` and returns how many bytes.
    ///
    /// # Errors
    ///
    /// Those of the sink. Nothing has been written then.
    fn write(&mut self, buffer: &[u8]) -> Result<usize>;

    /// The same from several pieces, one after the other. Unless a sink knows better, it is one write from the first
    /// piece that is not empty.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        match buffers.iter().find(|piece| !piece.is_empty()) {
            Some(piece) => self.write(piece),
            None => self.write(&[]),
        }
    }

    /// Passes on what is buffered.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    fn flush(&mut self) -> Result<()>;

    /// Writes all of `buffer`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WriteZero`] if the sink takes no more; else those of the sink.
    fn write_all(&mut self, mut buffer: &[u8]) -> Result<()> {
        while !buffer.is_empty() {
            match self.write(buffer) {
                Ok(0) => return Err(Error::new(ErrorKind::WriteZero, "failed to write whole buffer")),
                Ok(count) => buffer = buffer.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes formatted text; what `write!` calls.
    ///
    /// # Errors
    ///
    /// Those of the sink, or [`ErrorKind::Other`] if formatting failed by itself.
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> Result<()> {
        struct Adapter<'a, W: ?Sized> {
            sink: &'a mut W,
            error: Option<Error>,
        }

        impl<W: Write + ?Sized> fmt::Write for Adapter<'_, W> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.sink.write_all(text.as_bytes()).map_err(|error| {
                    self.error = Some(error);
                    fmt::Error
                })
            }
        }

        let mut adapter = Adapter { sink: self, error: None };
        match fmt::Write::write_fmt(&mut adapter, arguments) {
            Ok(()) => Ok(()),
            Err(_) => Err(adapter.error.unwrap_or(Error::other("formatter error"))),
        }
    }

    /// The sink itself as a borrowed one.
    fn by_ref(&mut self) -> &mut Self
    where
        Self: Sized,
    {
        self
    }
}

/// Where to seek to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekFrom {
    /// Bytes from the start.
    Start(u64),
    /// Bytes behind (or, negative, before) the end.
    End(i64),
    /// Bytes behind (or, negative, before) the current position.
    Current(i64),
}

/// Something with a position.
pub trait Seek {
    /// Moves the position and returns it, from the start.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a position before the start; else those of the object.
    fn seek(&mut self, position: SeekFrom) -> Result<u64>;

    /// Moves the position to the start.
    ///
    /// # Errors
    ///
    /// As [`Self::seek`].
    fn rewind(&mut self) -> Result<()> {
        self.seek(SeekFrom::Start(0)).map(|_| ())
    }

    /// The position.
    ///
    /// # Errors
    ///
    /// As [`Self::seek`].
    fn stream_position(&mut self) -> Result<u64> {
        self.seek(SeekFrom::Current(0))
    }
}

impl<R: Read + ?Sized> Read for &mut R {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (**self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        (**self).read_vectored(buffers)
    }
}

impl<R: Read + ?Sized> Read for Box<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        (**self).read(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> Result<usize> {
        (**self).read_vectored(buffers)
    }
}

impl<W: Write + ?Sized> Write for &mut W {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (**self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        (**self).write_vectored(buffers)
    }

    fn flush(&mut self) -> Result<()> {
        (**self).flush()
    }
}

impl<W: Write + ?Sized> Write for Box<W> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        (**self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> Result<usize> {
        (**self).write_vectored(buffers)
    }

    fn flush(&mut self) -> Result<()> {
        (**self).flush()
    }
}

impl Read for &[u8] {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.len().min(buffer.len());
        let (head, tail) = self.split_at(count);
        buffer.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
        *self = tail;
        Ok(count)
    }
}

impl Write for Vec<u8> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        self.try_reserve(buffer.len()).map_err(|_| ErrorKind::OutOfMemory)?;
        self.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read_to_the_end_in_whatever_pieces_it_comes() {
        struct Trickle<'a>(&'a [u8], usize);
        impl Read for Trickle<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
                self.1 = self.1 * 7 % 1013 + 1;
                let count = self.1.min(buffer.len());
                self.0.read(&mut buffer[..count])
            }
        }
        let source: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
        let mut read = vec![42];
        assert_eq!(Trickle(&source, 1).read_to_end(&mut read).unwrap(), source.len());
        assert_eq!(read[1..], source);
        let mut exact = [0; 5000];
        Trickle(&source, 1).read_exact(&mut exact).unwrap();
        assert_eq!(exact, source[..5000]);
    }

    #[test]
    fn without_better_knowledge_the_first_piece_that_is_not_empty_is_used() {
        let (mut none, mut some, mut more) = ([0; 0], [0; 2], [0; 2]);
        let mut pieces = [IoSliceMut::new(&mut none), IoSliceMut::new(&mut some), IoSliceMut::new(&mut more)];
        assert_eq!((&b"abcd"[..]).read_vectored(&mut pieces).unwrap(), 2);
        assert_eq!((&some, &more), (b"ab", &[0; 2]));
        let mut sink = Vec::new();
        let written = sink.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"xy"), IoSlice::new(b"z")]).unwrap();
        assert_eq!((written, &sink[..]), (2, &b"xy"[..]));
        assert_eq!(sink.write_vectored(&[]).unwrap(), 0);
    }

    #[test]
    fn a_source_that_ends_early_is_an_unexpected_end() {
        let error = (&b"abc"[..]).read_exact(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn formatted_text_is_written_and_the_sinks_error_comes_back() {
        let mut sink = Vec::new();
        write!(sink, "{}-{:?}", 1, Some(2)).unwrap();
        assert_eq!(sink, b"1-Some(2)");

        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> Result<usize> {
                Ok(0)
            }
            fn flush(&mut self) -> Result<()> {
                Ok(())
            }
        }
        assert_eq!(write!(Full, "x").unwrap_err().kind(), ErrorKind::WriteZero);
    }

    #[test]
    fn text_that_is_not_utf8_leaves_the_string_alone() {
        let mut text = String::from("before");
        let error = (&b"\xff"[..]).read_to_string(&mut text).unwrap_err();
        assert_eq!((error.kind(), text.as_str()), (ErrorKind::InvalidData, "before"));
    }
}
