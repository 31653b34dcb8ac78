//! What the driver knows of the bytes: the configuration of the device (VIRTIO 1.3 §5.11.4), and of FUSE just enough
//! to tell which queue a request belongs on (§5.11.6.2).
//!
//! ```text
//!   configuration   0  tag, 36 bytes    36  number of request queues    40  size of notification buffers, with NOTIFICATION
//!   request         0  length    4  operation code    ..  40 bytes in all, then what the operation has
//!   reply           0  length    4  error    8  unique    16 bytes in all, then what the operation has
//! ```

/// Offset of the tag: 36 bytes of UTF-8, padded with zeros, not terminated if it is that long.
pub const TAG: usize = 0;
/// Length of the tag field.
pub const TAG_LEN: usize = 36;
/// Offset of the 32-bit number of request queues.
pub const NUM_REQUEST_QUEUES: usize = 36;
/// Length of the part of the configuration that every device has.
pub const CONFIG_LEN: usize = 40;
/// Offset of the 32-bit size of notification buffers, which is there with
/// [`NOTIFICATION`](crate::features::NOTIFICATION) only.
pub const NOTIFY_BUF_SIZE: usize = 40;
/// Length of the configuration with it.
pub const CONFIG_LEN_WITH_NOTIFICATION: usize = 44;

/// Length of the header of a request (`fuse_in_header`).
pub const REQUEST_HEADER_LEN: usize = 40;
/// Length of the header of a reply (`fuse_out_header`).
pub const REPLY_HEADER_LEN: usize = 16;

/// Operation code of FORGET.
const FORGET: u32 = 2;
/// Operation code of INTERRUPT.
const INTERRUPT: u32 = 36;
/// Operation code of BATCH_FORGET.
const BATCH_FORGET: u32 = 42;

/// The tag in the first 36 bytes of the configuration: what comes before the padding; `None` if that is empty.
pub fn tag(field: &[u8; TAG_LEN]) -> Option<&[u8]> {
    let len = field.iter().position(|&byte| byte == 0).unwrap_or(TAG_LEN);
    (len > 0).then(|| &field[..len])
}

/// Whether a request is one of those that go to the high-priority queue and nowhere else (§5.11.6.2.2); `None` if it is
/// too short for a header.
pub fn is_urgent(request: &[u8]) -> Option<bool> {
    let header = request.first_chunk::<REQUEST_HEADER_LEN>()?;
    let code = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    Some(matches!(code, FORGET | INTERRUPT | BATCH_FORGET))
}

#[cfg(test)]
mod tests {
    use fuse_proto::Opcode;

    use super::*;

    #[test]
    fn fs_12_hd_cfg_13_a_tag_ends_at_its_padding_or_fills_its_field() {
        let mut field = [0; TAG_LEN];
        assert_eq!(tag(&field), None);
        field[..5].copy_from_slice(b"share");
        field[7] = b'x';
        assert_eq!(tag(&field), Some(&b"share"[..]));
        assert_eq!(tag(&[b'a'; TAG_LEN]), Some(&[b'a'; TAG_LEN][..]));
    }

    #[test]
    fn fs_2_fs_3_three_operations_are_urgent_and_no_others() {
        let mut urgent = 0;
        for code in 0..=0x1_0000_u32 {
            let mut header = [0; REQUEST_HEADER_LEN];
            header[4..8].copy_from_slice(&code.to_le_bytes());
            let named =
                matches!(Opcode::from_raw(code), Some(Opcode::Forget | Opcode::Interrupt | Opcode::BatchForget));
            assert_eq!(is_urgent(&header), Some(named), "operation {code}");
            urgent += u32::from(named);
            assert_eq!(is_urgent(&header[..39]), None, "shorter than a header");
        }
        assert_eq!(urgent, 3);
    }
}
