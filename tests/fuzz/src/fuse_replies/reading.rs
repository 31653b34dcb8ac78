//! The second reading of the protocol: what a request looks like, and what becomes of a reply, by numbers alone.

use fuse_proto::{Caller, Defect, EncodeError, Errno, FileHandle, NodeId, Operation, ReplyError, Request, Unique};

use super::{HEADER, Owes};

/// Whether a request can be sent; if so, its bytes are held.
pub fn request<O: Request>(request: &O, unique: Unique) -> bool {
    let caller = Caller { uid: 1, gid: 2, pid: 3 };
    let len = match request.request_len() {
        Ok(len) => len,
        Err(error) => {
            assert_ne!(error, EncodeError::BufferTooSmall);
            assert_eq!(request.encode(unique, caller, &mut [0; 8192]), Err(error));
            return false;
        }
    };
    let mut buffer = vec![0xee; len + 8];
    assert_eq!(request.encode(unique, caller, &mut buffer), Ok(len));
    assert_eq!(buffer[len..], [0xee; 8], "wrote too far");
    assert_eq!(number(&buffer, 0, 4), (len + request.data_len()) as u64);
    assert_eq!(number(&buffer, 4, 4), u64::from(O::OPCODE.raw()));
    assert_eq!(number(&buffer, 8, 8), unique.get());
    assert_eq!(number(&buffer, 16, 8), request.node().map_or(0, NodeId::get));
    assert_eq!([24, 28, 32].map(|at| number(&buffer, at, 4)), [1, 2, 3]);
    assert!(number(&buffer, 36, 2) * 8 <= (len - 40) as u64);
    assert_eq!(request.encode(unique, caller, &mut buffer[..len - 1]), Err(EncodeError::BufferTooSmall));
    true
}

/// What the header of a reply says: its payload, or what is wrong.
pub fn told<'r, O: Operation>(operation: &O, unique: Unique, reply: &'r [u8]) -> Result<&'r [u8], ReplyError> {
    let lengths = operation.payload_len();
    if O::OPCODE.raw() == 38 && reply[..HEADER] == [0; HEADER] {
        // The end of a session need not be answered.
        return Ok(&[]);
    }
    let claimed = number(reply, 0, 4);
    let Some(payload) = claimed.checked_sub(16) else { return Err(Defect::HeaderLength.into()) };
    if payload > *lengths.end() as u64 {
        return Err(Defect::Overlong.into());
    }
    if number(reply, 8, 8) != unique.get() {
        return Err(Defect::WrongUnique.into());
    }
    let error = i32::from_le_bytes(reply[4..8].try_into().expect("four bytes"));
    match error {
        -511..=-1 => {
            let errno = u16::try_from(-error).ok().and_then(Errno::new);
            return Err(ReplyError::Remote(errno.expect("an error number")));
        }
        0 => {}
        _ => return Err(Defect::ErrorRange.into()),
    }
    if payload < *lengths.start() as u64 {
        return Err(Defect::PayloadLength.into());
    }
    let end = usize::try_from(claimed).expect("it was bounded");
    reply.get(HEADER..end).ok_or_else(|| Defect::Overlong.into())
}

/// What a refused reply with this payload leaves to give back.
pub fn debts(owes: Owes, payload: &[u8]) -> (Option<NodeId>, Option<(NodeId, FileHandle)>) {
    if owes == Owes::Nothing {
        return (None, None);
    }
    let named = NodeId::new(number(payload, 0, 8));
    let handle = named.filter(|_| owes == Owes::Created).map(|node| (node, FileHandle(number(payload, 128, 8))));
    (named.filter(|node| !node.is_root()), handle)
}

/// A number of up to 8 bytes.
pub fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(wide)
}
