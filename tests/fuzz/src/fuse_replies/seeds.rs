//! Stories with single replies.

/// Replies as they should be, and every lie of the catalogue that one reply can tell, named after it.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let attributes = |kind: u32, change: &dyn Fn(&mut [u8])| {
        let mut bytes = [0; 88];
        bytes[8] = 12;
        bytes[16] = 8;
        bytes[60..64].copy_from_slice(&(kind << 12 | 0o644).to_le_bytes());
        bytes[64] = 1;
        change(&mut bytes);
        bytes.to_vec()
    };
    let entry = |node: u64, kind: u32, change: &dyn Fn(&mut [u8])| {
        let mut bytes = [0; 40].to_vec();
        bytes[..8].copy_from_slice(&node.to_le_bytes());
        bytes[16] = 1;
        bytes.extend(attributes(kind, &|_| ()));
        change(&mut bytes);
        bytes
    };
    let good = |payload: &[u8]| {
        let len = u16::try_from(payload.len()).expect("seeds are small");
        [&[0, 0][..], &len.to_le_bytes(), payload].concat()
    };
    let error = |error: i32, payload: &[u8]| {
        let len = u16::try_from(payload.len()).expect("seeds are small");
        [&[0, 1][..], &error.to_le_bytes(), &len.to_le_bytes(), payload].concat()
    };
    let headed = |len: u32, error: i32, unique: u64, payload: &[u8]| {
        let given = u16::try_from(payload.len()).expect("seeds are small");
        let header = [&len.to_le_bytes()[..], &error.to_le_bytes(), &unique.to_le_bytes()].concat();
        [&[0, 2][..], &header, &given.to_le_bytes(), payload].concat()
    };
    // In the root, under the name "name"; the same for nodes 2 and "name".
    let lookup = |reply: Vec<u8>| [&[0, 0, 0][..], &reply].concat();
    let getattr = |reply: Vec<u8>| [&[1, 1, 0, 7][..], &reply].concat();
    let read = |reply: Vec<u8>| [&[14, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0][..], &reply].concat();
    let write = |reply: Vec<u8>| [&[15, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &reply].concat();
    let link = |reply: Vec<u8>| [&[11, 1, 0, 0][..], &reply].concat();
    let mkdir = |reply: Vec<u8>| [&[6, 0, 0, 0xed, 1, 0, 0][..], &reply].concat();
    let create = |reply: Vec<u8>| [&[34, 0, 0, 0xa4, 1, 0, 0, 0, 0, 0][..], &reply].concat();
    let readlink = |reply: Vec<u8>| [&[3, 1][..], &reply].concat();
    let list_xattr = |reply: Vec<u8>| [&[25, 1, 16, 0][..], &reply].concat();
    let xattr_len = |reply: Vec<u8>| [&[24, 1, 0][..], &reply].concat();
    let statx = |reply: Vec<u8>| [&[48, 1, 7, 0xff, 0x0f, 0, 0][..], &reply].concat();
    let found = entry(9, 8, &|_| ());
    let created = |entry: &[u8]| [entry, &[5, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
    let attr_reply = |attributes: Vec<u8>| [&[0; 16][..], &attributes].concat();
    let statx_reply = |mask: u16| {
        let mut bytes = [0; 288];
        bytes[32..34].copy_from_slice(&mask.to_le_bytes());
        bytes[60..62].copy_from_slice(&0o100_644_u16.to_le_bytes());
        bytes.to_vec()
    };
    let story: Vec<u8> = [
        lookup(good(&found)),
        getattr(good(&attr_reply(attributes(8, &|_| ())))),
        read(good(b"contents")),
        write(good(&[8, 0, 0, 0, 0, 0, 0, 0])),
        link(good(&entry(2, 8, &|_| ()))),
        mkdir(good(&entry(9, 4, &|_| ()))),
        create(good(&created(&found))),
        readlink(good(b"../a")),
        list_xattr(good(b"user.a\0user.b\0")),
        xattr_len(good(&[4, 0, 0, 0, 0, 0, 0, 0])),
        statx(good(&statx_reply(0xfff))),
    ]
    .concat();
    // Parameters of zeros and replies of the smallest good length: what is left is a walk over all operations.
    let all: Vec<u8> = (0..=48).collect();
    let one_of_each =
        |operations: &[u8]| operations.iter().flat_map(|&which| [&[which][..], &[0; 30]].concat()).collect();
    vec![
        ("obedient", story),
        ("one_of_each_0", one_of_each(&all[..20])),
        ("one_of_each_1", one_of_each(&all[20..40])),
        ("one_of_each_2", one_of_each(&all[40..])),
        ("hd_fs_1", lookup(headed(15, 0, 2, &found))),
        ("hd_fs_2", lookup(headed(145, 0, 2, &found))),
        ("hd_fs_3", lookup(good(&found[..120]))),
        ("hd_fs_4", getattr(good(&[0; 112]))),
        ("hd_fs_5", lookup(headed(144, 0, 4, &found))),
        ("hd_fs_6", lookup(error(-512, &[]))),
        ("hd_fs_7", lookup(error(-13, &found))),
        ("hd_fs_8", lookup(headed(16, 0, 2, &[]))),
        ("hd_fs_11", lookup(good(&entry(0, 8, &|_| ())))),
        ("hd_fs_12", mkdir(good(&entry(0, 4, &|_| ())))),
        ("hd_fs_13", lookup(good(&entry(1, 4, &|_| ())))),
        ("hd_fs_13_elsewhere", [&[0, 1, 0][..], &good(&entry(1, 4, &|_| ()))].concat()),
        ("hd_fs_14", [&[0, 1, 0][..], &good(&entry(2, 4, &|_| ()))].concat()),
        ("hd_fs_16", link(good(&found))),
        ("hd_fs_17", mkdir(good(&found))),
        ("hd_fs_18", lookup(good(&entry(9, 8, &|bytes| bytes[40 + 15] = 0x80)))),
        ("hd_fs_19", lookup(good(&entry(9, 8, &|bytes| bytes[40 + 48..40 + 60].fill(0xff))))),
        ("hd_fs_20", lookup(good(&entry(9, 8, &|bytes| bytes[16..40].fill(0xff))))),
        ("hd_fs_21", read(good(b"123456789"))),
        ("hd_fs_22", read(good(b"end"))),
        ("hd_fs_23", [write(good(&[9, 0, 0, 0, 0, 0, 0, 0])), write(good(&[0; 8]))].concat()),
        ("hd_fs_31", list_xattr(good(b"user.a\0user.b"))),
        ("hd_fs_32", xattr_len(good(&[0xff; 8]))),
        ("hd_fs_33", readlink(good(b"a\0b"))),
        ("hd_fs_38", lookup(error(-4, &[]))),
        ("hd_fs_41", [&[13, 0][..], &good(&[0xff; 16])].concat()),
        ("hd_fs_42_no_blocks", statx(good(&statx_reply(0xbff)))),
        ("hd_fs_42", statx(good(&statx_reply(0xffe)))),
        ("fu_rv_8", create(good(&created(&entry(9, 4, &|_| ()))))),
    ]
}
