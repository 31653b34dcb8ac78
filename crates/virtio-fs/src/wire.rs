//! The configuration of the file system device (VIRTIO 1.3 §5.11.4).

/// Offset of the tag: 36 bytes of UTF-8, padded with zeros, not terminated if it is that long.
pub const TAG: usize = 0;
/// Length of the tag field.
pub const TAG_LEN: usize = 36;
/// Offset of the 32-bit number of request queues.
pub const NUM_REQUEST_QUEUES: usize = 36;
/// Length of the part of the configuration that every device has.
pub const CONFIG_LEN: usize = 40;

/// The tag in the first 36 bytes of the configuration: what comes before the padding; `None` if that is empty.
pub fn tag(field: &[u8; TAG_LEN]) -> Option<&[u8]> {
    let len = field.iter().position(|&byte| byte == 0).unwrap_or(TAG_LEN);
    (len > 0).then(|| &field[..len])
}

#[cfg(test)]
mod tests {
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
}
