//! One client: reads lines, asks the table, writes answers.

use alloc::vec::Vec;
use core::{fmt::Write as _, ops::ControlFlow};

use toro::{
    io::{Result, Write as _},
    net::{Shutdown, TcpStream},
};

use crate::{
    limits,
    protocol::{self, Refusal, Request},
    shard::Answer,
    table::{Asker, Table},
};

/// Bytes that are read at once.
const PIECE: usize = 4096;
/// Bytes of answers after which they are sent, even if there are more lines to answer: short lines may ask for long
/// values.
const OUTPUT: usize = 16 * 1024;

/// Serves a client until it ends, or does something that ends it.
pub fn serve(stream: &TcpStream, table: &Table) {
    // A connection that has broken needs no more answers.
    let _ = try_serve(stream, table);
}

/// Tells a client that there are too many others.
pub fn turn_away(stream: &TcpStream) {
    let _ = refuse(stream, Refusal::Busy);
}

fn refuse(stream: &TcpStream, refusal: Refusal) -> Result<()> {
    let mut answer = Vec::new();
    put_refusal(&mut answer, refusal);
    stream.set_write_timeout(Some(limits::WRITE_TIMEOUT))?;
    flush(stream, &mut answer)?;
    stream.shutdown(Shutdown::Both)
}

fn try_serve(stream: &TcpStream, table: &Table) -> Result<()> {
    stream.set_read_timeout(Some(limits::IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(limits::WRITE_TIMEOUT))?;
    let mut asker = Asker::new(table);
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        let start = input.len();
        input.resize(start + PIECE, 0);
        let length = stream.read(&mut input[start..])?;
        input.truncate(start + length);
        if length == 0 {
            return Ok(());
        }
        let flow = answer_lines(stream, &mut input, &mut asker, &mut output)?;
        flush(stream, &mut output)?;
        if flow.is_break() {
            return stream.shutdown(Shutdown::Both);
        }
        if input.len() > limits::LINE + "\r".len() {
            return refuse(stream, Refusal::LineTooLong);
        }
    }
}

/// Sends what is in `output`, and empties it.
fn flush(mut stream: &TcpStream, output: &mut Vec<u8>) -> Result<()> {
    stream.write_all(output)?;
    output.clear();
    Ok(())
}

/// Answers every complete line of `input` and takes it out; breaks after `QUIT`. Answers are sent together, but not more
/// of them are held back than fit into [`OUTPUT`].
fn answer_lines(
    stream: &TcpStream,
    input: &mut Vec<u8>,
    asker: &mut Asker<'_>,
    output: &mut Vec<u8>,
) -> Result<ControlFlow<()>> {
    let mut done = 0;
    while let Some(length) = input[done..].iter().position(|&byte| byte == b'\n') {
        let line = &input[done..done + length];
        if answer(line.strip_suffix(b"\r").unwrap_or(line), asker, output).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if output.len() >= OUTPUT {
            flush(stream, output)?;
        }
        done += length + 1;
    }
    input.drain(..done);
    Ok(ControlFlow::Continue(()))
}

fn answer(line: &[u8], asker: &mut Asker<'_>, output: &mut Vec<u8>) -> ControlFlow<()> {
    let answer = match protocol::parse(line) {
        Ok(Request::Get(key)) => asker.get(key),
        Ok(Request::Set(key, value)) => asker.set(key, value),
        Ok(Request::Delete(key)) => asker.delete(key),
        Ok(Request::Stats) => {
            match asker.stats() {
                Ok(stats) => put_stats(output, &stats),
                Err(refusal) => put_refusal(output, refusal),
            }
            return ControlFlow::Continue(());
        }
        Ok(Request::Quit) => {
            output.extend_from_slice(b"BYE\n");
            return ControlFlow::Break(());
        }
        Err(refusal) => Answer::Refused(refusal),
    };
    match answer {
        Answer::Value(value) => {
            output.extend_from_slice(b"VALUE ");
            output.extend_from_slice(&value);
            output.push(b'\n');
        }
        Answer::None => output.extend_from_slice(b"NONE\n"),
        Answer::Done => output.extend_from_slice(b"OK\n"),
        Answer::Refused(refusal) => put_refusal(output, refusal),
        Answer::Stats { .. } => put_refusal(output, Refusal::Unavailable),
    }
    ControlFlow::Continue(())
}

fn put_refusal(output: &mut Vec<u8>, refusal: Refusal) {
    output.extend_from_slice(alloc::format!("ERR {refusal}\n").as_bytes());
}

fn put_stats(output: &mut Vec<u8>, stats: &[(usize, usize)]) {
    let sum = |of: fn(&(usize, usize)) -> usize| stats.iter().map(of).sum::<usize>();
    let mut line = alloc::format!("STATS keys={} bytes={} shards=", sum(|shard| shard.0), sum(|shard| shard.1));
    for (number, (keys, _)) in stats.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{keys}", if number > 0 { "," } else { "" });
    }
    output.extend_from_slice(line.as_bytes());
    output.push(b'\n');
}
