//! What becomes of each story about a file server, by its name.

use fuse_proto::{Defect, Errno, InitFlags, Opcode, ReplyError};
use fuzz_targets::{fuse_dirents, fuse_init, fuse_replies, fuse_session};

#[test]
fn fu_t_5_each_lie_in_a_reply_is_the_defect_that_it_should_be() {
    for (name, input) in fuse_replies::seeds() {
        let outcome = fuse_replies::body(&input);
        let malformed = |defect, owed| (0, 0, (Some(defect), 1), owed);
        let (good, remote, lies, owed) = match name {
            "obedient" => (11, 0, (None, 0), 0),
            "hd_fs_1" => malformed(Defect::HeaderLength, 0),
            "hd_fs_2" | "hd_fs_4" | "hd_fs_21" => malformed(Defect::Overlong, 0),
            "hd_fs_3" | "hd_fs_8" => malformed(Defect::PayloadLength, 0),
            "hd_fs_5" => malformed(Defect::WrongUnique, 0),
            "hd_fs_6" => malformed(Defect::ErrorRange, 0),
            "hd_fs_7" | "hd_fs_38" => (0, 1, (None, 0), 0),
            "hd_fs_12" => malformed(Defect::NoNode, 0),
            "hd_fs_13" | "hd_fs_13_elsewhere" => malformed(Defect::RootNode, 0),
            "hd_fs_14" => malformed(Defect::ParentNode, 1),
            "hd_fs_16" => malformed(Defect::OtherNode, 1),
            "hd_fs_17" => malformed(Defect::FileType, 1),
            "hd_fs_18" => malformed(Defect::Size, 1),
            "hd_fs_11" | "hd_fs_19" | "hd_fs_20" | "hd_fs_22" | "hd_fs_32" | "hd_fs_41" | "hd_fs_42_no_blocks" => {
                (1, 0, (None, 0), 0)
            }
            "hd_fs_23" => (0, 0, (Some(Defect::WriteLength), 2), 0),
            "hd_fs_31" => malformed(Defect::XattrList, 0),
            "hd_fs_33" => malformed(Defect::LinkTarget, 0),
            "hd_fs_42" => malformed(Defect::FileType, 0),
            // A node to forget and a handle to release.
            "fu_rv_8" => malformed(Defect::FileType, 2),
            _ => continue,
        };
        let found = (outcome.good, outcome.remote, outcome.malformed, outcome.owed);
        assert_eq!(found, (good, remote, lies, owed), "{name}: {outcome:?}");
    }
}

#[test]
fn fu_t_3_5_each_lie_in_a_listing_is_the_defect_that_it_should_be() {
    for (name, input) in fuse_dirents::seeds() {
        let outcome = fuse_dirents::body(&input);
        let expected = match name {
            "names" => (4, None, 0),
            "nodes" | "longest" => (if name == "nodes" { 4 } else { 2 }, None, 2),
            "nothing" => (0, None, 0),
            "cut" => (1, None, 1),
            "hd_fs_15" => (2, None, 2),
            "hd_fs_17" => (1, None, 1),
            "hd_fs_18" => (3, None, 3),
            "hd_fs_24" | "hd_fs_24_long" => (1, Some(Defect::NameLength), 2),
            "hd_fs_25" => (0, Some(Defect::TruncatedEntry), 0),
            "hd_fs_26" => (0, Some(Defect::NameLength), 0),
            "hd_fs_27" => (1, Some(Defect::NameBytes), 3),
            "hd_fs_28" => (2, Some(Defect::NoProgress), 2),
            // The root is not counted; the node of no kind is.
            "hd_fs_30" => (3, None, 2),
            _ => continue,
        };
        assert_eq!((outcome.names, outcome.defect, outcome.references), expected, "{name}");
    }
}

#[test]
fn fu_t_6_servers_of_every_age_agree_to_a_session_and_liars_do_not() {
    for (name, input) in fuse_init::seeds() {
        let result = fuse_init::body(&input);
        let expected = match name {
            "hd_fs_34_major" | "hd_fs_34_minor" => Err(Defect::Version.into()),
            "hd_fs_34_alignment" | "hd_fs_34_alignment_large" => Err(Defect::MapAlignment.into()),
            "hd_fs_35_no_length" => Err(Defect::PayloadLength.into()),
            "fu_ini_14" => Err(ReplyError::Remote(Errno::EINVAL)),
            "minor_27" => Ok(27),
            "minor_31" | "hd_fs_35_8" | "hd_fs_35_24" => Ok(31),
            "minor_36" => Ok(36),
            "minor_45" | "minor_255" => Ok(45),
            _ => Ok(38),
        };
        assert_eq!(result.as_ref().map(|session| session.minor()).map_err(|error| *error), expected, "{name}");
        let Ok(session) = result else { continue };
        match name {
            "hd_fs_34_max_write" => assert_eq!(session.max_write(), 4096),
            "hd_fs_34_max_write_large" => assert_eq!(session.max_write(), 512 * 1024),
            "hd_fs_34_max_pages" => assert_eq!(session.max_read(), 4096),
            "hd_fs_34_max_pages_large" => assert_eq!(session.max_read(), 512 * 1024),
            "hd_fs_34_granularity" => assert_eq!(session.time_granularity(), 1),
            "nothing_offered" | "hd_fs_35_8" => assert_eq!(session.flags(), InitFlags::empty()),
            _ => {}
        }
    }
}

#[test]
fn fu_t_7_hd_fs_43_hd_fs_46_sessions_learn_and_notifications_are_heard_or_refused() {
    for (name, input) in fuse_session::seeds() {
        let outcome = fuse_session::body(&input);
        let expected = match name {
            "notifications" => ([12, 0, 0], 1),
            "hd_fs_43" => ([0, 0, 16], 0),
            "hd_fs_43_unknown" => ([0, 2, 0], 0),
            _ => ([0; 3], 0),
        };
        assert_eq!((outcome.notifications, outcome.answers), expected, "{name}");
        let is_learnt = |opcode| outcome.learnt.contains(&opcode);
        let refuses = name.starts_with("hd_fs_46");
        assert_eq!(is_learnt(Opcode::ReadDirPlus) && is_learnt(Opcode::SetLkW), refuses, "{name}");
        // Only where both sides agreed that it may happen.
        assert_eq!(is_learnt(Opcode::Open), name == "hd_fs_46", "{name}");
        assert!(!is_learnt(Opcode::Read), "{name}");
    }
}
