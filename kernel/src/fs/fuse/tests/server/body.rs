//! Reading a request as strictly as the most particular server in the field: every field at its place, reserved ones zero,
//! names terminated, and nothing left over (FU-FR-2). A request that is not like that fails the test.

use std::vec::Vec;

use fuse_proto::Opcode;

/// What is left of the body of a request.
pub struct Body<'b> {
    opcode: Opcode,
    rest: &'b [u8],
}

impl<'b> Body<'b> {
    pub fn new(opcode: Opcode, rest: &'b [u8]) -> Self {
        Self { opcode, rest }
    }

    pub fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (head, rest) = self.rest.split_at_checked(count).unwrap_or_else(|| panic!("{} is too short", self.opcode));
        self.rest = rest;
        head
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    /// Bytes that mean nothing and so are zero.
    pub fn reserved(&mut self, count: usize) {
        let opcode = self.opcode;
        assert!(self.bytes(count).iter().all(|&byte| byte == 0), "{opcode} with something in reserved bytes");
    }

    /// Bytes up to a terminator.
    pub fn text(&mut self) -> Vec<u8> {
        let end = self.rest.iter().position(|&byte| byte == 0);
        let end = end.unwrap_or_else(|| panic!("{} with a name that does not end", self.opcode));
        let text = self.bytes(end).to_vec();
        self.reserved(1);
        text
    }

    /// FU-SEM-17: a name that a server can be asked to create.
    pub fn name(&mut self) -> Vec<u8> {
        let name = self.text();
        let is_name = !matches!(&name[..], b"" | b"." | b"..") && !name.contains(&b'/') && name.len() <= 255;
        assert!(is_name, "{} of {}", self.opcode, name.escape_ascii());
        name
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'b [u8] {
        core::mem::take(&mut self.rest)
    }

    pub fn end(self) {
        assert!(self.rest.is_empty(), "{} with {} bytes too many", self.opcode, self.rest.len());
    }
}
