//! FU-T-1: every field of every structure lies where the protocol has it, and is as large.

use core::mem::offset_of;
use std::borrow::ToOwned;
use std::path::Path;
use std::vec::Vec;
use std::{format, fs, vec};

use crate::attr::WireAttributes;
use crate::dirent::{WireDirEntry, WireDirEntryPlus};
use crate::entry::WireEntry;
use crate::extensions::{WireExtension, WireGroups, WireSecurityContext};
use crate::header::{ReplyHeader, RequestHeader};
use crate::init::{WireInit, WireInitExt, WireInitReply};
use crate::notify::{
    WireNotifyDelete, WireNotifyInvalEntry, WireNotifyInvalInode, WireNotifyPoll, WireNotifyPrune, WireNotifyRetrieve,
    WireNotifyStore,
};
use crate::ops::{
    WireAccess, WireBmap, WireBmapReply, WireCopied64, WireCopyFileRange, WireFileLock, WireGetStatx, WireGetXattr,
    WireInterrupt, WireIoctl, WireIoctlRange, WireIoctlReply, WireLSeek, WireLSeekReply, WireLock, WireNotifyReply,
    WirePoll, WirePollReply, WireRemoveMapping, WireRemoveMappingOne, WireSetXattr, WireSetXattrShort,
    WireSetupMapping, WireStatx, WireStatxReply, WireStatxTime, WireSyncFs, WireXattrLen,
};
use crate::ops::{
    WireAttributesReply, WireBatchForget, WireCreate, WireCreated, WireFAllocate, WireFSync, WireFlush, WireForget,
    WireForgetOne, WireGetAttr, WireLink, WireMkDir, WireMkNod, WireOpen, WireOpened, WireRead, WireRelease,
    WireRename, WireRename2, WireSetAttr, WireStatFs, WireWrite, WireWritten,
};

/// The size of the field that `project` borrows.
fn field_size<T, F>(_project: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// The tests below come out of a macro; this one sees to it that no structure is missing from it.
#[test]
#[cfg_attr(miri, ignore = "reads the sources")]
fn fu_t_1_every_structure_has_its_layout_tested() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("the sources are there") {
            let path = entry.expect("they can be listed").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("they can be read");
                let found = text.lines().filter_map(|line| line.strip_prefix("pub struct Wire"));
                names.extend(found.map(|rest| rest.split([' ', '(', '<']).next().unwrap_or_default().to_owned()));
            }
        }
    }
    assert!(names.len() > 40, "{names:?}");
    let tests = include_str!("layout_tests.rs");
    for name in names {
        assert!(tests.contains(&format!(": Wire{name}, ")), "Wire{name}");
    }
}

macro_rules! layout {
    ($($name:ident: $wire:ident, $size:literal { $($field:ident @ $offset:literal: $length:literal),* })*) => {
        $(
            #[test]
            fn $name() {
                assert_eq!(size_of::<$wire>(), $size);
                assert_eq!(align_of::<$wire>(), 1);
                $(
                    assert_eq!(offset_of!($wire, $field), $offset, stringify!($field));
                    assert_eq!(field_size(|wire: &$wire| &wire.$field), $length, stringify!($field));
                )*
                assert_eq!([$($length),*].iter().sum::<usize>(), $size, "fields are missing");
            }
        )*
    };
}

layout! {
    fu_t_1_fuse_in_header: RequestHeader, 40 {
        len @ 0: 4,
        opcode @ 4: 4,
        unique @ 8: 8,
        node @ 16: 8,
        uid @ 24: 4,
        gid @ 28: 4,
        pid @ 32: 4,
        extension_len @ 36: 2,
        padding @ 38: 2
    }
    fu_t_1_fuse_out_header: ReplyHeader, 16 {
        len @ 0: 4,
        error @ 4: 4,
        unique @ 8: 8
    }
    fu_t_1_fuse_attr: WireAttributes, 88 {
        inode @ 0: 8,
        size @ 8: 8,
        blocks @ 16: 8,
        accessed @ 24: 8,
        modified @ 32: 8,
        changed @ 40: 8,
        accessed_nanos @ 48: 4,
        modified_nanos @ 52: 4,
        changed_nanos @ 56: 4,
        mode @ 60: 4,
        links @ 64: 4,
        uid @ 68: 4,
        gid @ 72: 4,
        device @ 76: 4,
        block_size @ 80: 4,
        flags @ 84: 4
    }
    fu_t_1_fuse_entry_out: WireEntry, 128 {
        node @ 0: 8,
        generation @ 8: 8,
        name_lifetime @ 16: 8,
        attr_lifetime @ 24: 8,
        name_lifetime_nanos @ 32: 4,
        attr_lifetime_nanos @ 36: 4,
        attributes @ 40: 88
    }
    fu_t_1_fuse_dirent: WireDirEntry, 24 {
        inode @ 0: 8,
        next @ 8: 8,
        name_len @ 16: 4,
        kind @ 20: 4
    }
    fu_t_1_fuse_direntplus: WireDirEntryPlus, 152 {
        entry @ 0: 128,
        dirent @ 128: 24
    }
    fu_t_1_fuse_init_out: WireInitReply, 64 {
        major @ 0: 4,
        minor @ 4: 4,
        max_readahead @ 8: 4,
        flags @ 12: 4,
        max_background @ 16: 2,
        congestion_threshold @ 18: 2,
        max_write @ 20: 4,
        time_granularity @ 24: 4,
        max_pages @ 28: 2,
        map_alignment @ 30: 2,
        flags2 @ 32: 4,
        max_stack_depth @ 36: 4,
        request_timeout @ 40: 2,
        unused @ 42: 22
    }
    fu_t_1_fuse_forget_in: WireForget, 8 {
        lookups @ 0: 8
    }
    fu_t_1_fuse_forget_one: WireForgetOne, 16 {
        node @ 0: 8,
        lookups @ 8: 8
    }
    fu_t_1_fuse_batch_forget_in: WireBatchForget, 8 {
        count @ 0: 4,
        dummy @ 4: 4
    }
    fu_t_1_fuse_getattr_in: WireGetAttr, 16 {
        flags @ 0: 4,
        dummy @ 4: 4,
        handle @ 8: 8
    }
    fu_t_1_fuse_attr_out: WireAttributesReply, 104 {
        lifetime @ 0: 8,
        lifetime_nanos @ 8: 4,
        dummy @ 12: 4,
        attributes @ 16: 88
    }
    fu_t_1_fuse_open_in: WireOpen, 8 {
        flags @ 0: 4,
        open_flags @ 4: 4
    }
    fu_t_1_fuse_open_out: WireOpened, 16 {
        handle @ 0: 8,
        flags @ 8: 4,
        backing_id @ 12: 4
    }
    fu_t_1_fuse_read_in: WireRead, 40 {
        handle @ 0: 8,
        offset @ 8: 8,
        size @ 16: 4,
        read_flags @ 20: 4,
        lock_owner @ 24: 8,
        flags @ 32: 4,
        padding @ 36: 4
    }
    fu_t_1_fuse_release_in: WireRelease, 24 {
        handle @ 0: 8,
        flags @ 8: 4,
        release_flags @ 12: 4,
        lock_owner @ 16: 8
    }
    fu_t_1_fuse_setattr_in: WireSetAttr, 88 {
        valid @ 0: 4,
        padding @ 4: 4,
        handle @ 8: 8,
        size @ 16: 8,
        lock_owner @ 24: 8,
        accessed @ 32: 8,
        modified @ 40: 8,
        changed @ 48: 8,
        accessed_nanos @ 56: 4,
        modified_nanos @ 60: 4,
        changed_nanos @ 64: 4,
        mode @ 68: 4,
        unused4 @ 72: 4,
        uid @ 76: 4,
        gid @ 80: 4,
        unused5 @ 84: 4
    }
    fu_t_1_fuse_mknod_in: WireMkNod, 16 {
        mode @ 0: 4,
        device @ 4: 4,
        umask @ 8: 4,
        padding @ 12: 4
    }
    fu_t_1_fuse_mkdir_in: WireMkDir, 8 {
        mode @ 0: 4,
        umask @ 4: 4
    }
    fu_t_1_fuse_link_in: WireLink, 8 {
        node @ 0: 8
    }
    fu_t_1_fuse_rename_in: WireRename, 8 {
        new_parent @ 0: 8
    }
    fu_t_1_fuse_rename2_in: WireRename2, 16 {
        new_parent @ 0: 8,
        flags @ 8: 4,
        padding @ 12: 4
    }
    fu_t_1_fuse_create_in: WireCreate, 16 {
        flags @ 0: 4,
        mode @ 4: 4,
        umask @ 8: 4,
        open_flags @ 12: 4
    }
    fu_t_1_fuse_create_out: WireCreated, 144 {
        entry @ 0: 128,
        opened @ 128: 16
    }
    fu_t_1_fuse_write_in: WireWrite, 40 {
        handle @ 0: 8,
        offset @ 8: 8,
        size @ 16: 4,
        write_flags @ 20: 4,
        lock_owner @ 24: 8,
        flags @ 32: 4,
        padding @ 36: 4
    }
    fu_t_1_fuse_write_out: WireWritten, 8 {
        size @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_fsync_in: WireFSync, 16 {
        handle @ 0: 8,
        flags @ 8: 4,
        padding @ 12: 4
    }
    fu_t_1_fuse_flush_in: WireFlush, 24 {
        handle @ 0: 8,
        unused @ 8: 4,
        padding @ 12: 4,
        lock_owner @ 16: 8
    }
    fu_t_1_fuse_fallocate_in: WireFAllocate, 32 {
        handle @ 0: 8,
        offset @ 8: 8,
        length @ 16: 8,
        mode @ 24: 4,
        padding @ 28: 4
    }
    fu_t_1_fuse_ext_header: WireExtension, 8 {
        size @ 0: 4,
        kind @ 4: 4
    }
    fu_t_1_fuse_secctx: WireSecurityContext, 8 {
        size @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_supp_groups: WireGroups, 4 {
        count @ 0: 4
    }
    fu_t_1_fuse_kstatfs: WireStatFs, 80 {
        blocks @ 0: 8,
        blocks_free @ 8: 8,
        blocks_available @ 16: 8,
        files @ 24: 8,
        files_free @ 32: 8,
        block_size @ 40: 4,
        name_len @ 44: 4,
        fragment_size @ 48: 4,
        padding @ 52: 4,
        spare @ 56: 24
    }
    fu_t_1_fuse_setxattr_in: WireSetXattr, 16 {
        size @ 0: 4,
        flags @ 4: 4,
        extra_flags @ 8: 4,
        padding @ 12: 4
    }
    fu_t_1_fuse_getxattr_in: WireGetXattr, 8 {
        size @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_getxattr_out: WireXattrLen, 8 {
        size @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_file_lock: WireFileLock, 24 {
        start @ 0: 8,
        end @ 8: 8,
        kind @ 16: 4,
        pid @ 20: 4
    }
    fu_t_1_fuse_lk_in: WireLock, 48 {
        handle @ 0: 8,
        owner @ 8: 8,
        lock @ 16: 24,
        flags @ 40: 4,
        padding @ 44: 4
    }
    fu_t_1_fuse_access_in: WireAccess, 8 {
        mask @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_lseek_in: WireLSeek, 24 {
        handle @ 0: 8,
        offset @ 8: 8,
        whence @ 16: 4,
        padding @ 20: 4
    }
    fu_t_1_fuse_lseek_out: WireLSeekReply, 8 {
        offset @ 0: 8
    }
    fu_t_1_fuse_copy_file_range_in: WireCopyFileRange, 56 {
        handle @ 0: 8,
        offset @ 8: 8,
        to_node @ 16: 8,
        to_handle @ 24: 8,
        to_offset @ 32: 8,
        length @ 40: 8,
        flags @ 48: 8
    }
    fu_t_1_fuse_copy_file_range_out: WireCopied64, 8 {
        size @ 0: 8
    }
    fu_t_1_fuse_syncfs_in: WireSyncFs, 8 {
        padding @ 0: 8
    }
    fu_t_1_fuse_sx_time: WireStatxTime, 16 {
        seconds @ 0: 8,
        nanos @ 8: 4,
        reserved @ 12: 4
    }
    fu_t_1_fuse_statx: WireStatx, 256 {
        mask @ 0: 4,
        block_size @ 4: 4,
        attributes @ 8: 8,
        links @ 16: 4,
        uid @ 20: 4,
        gid @ 24: 4,
        mode @ 28: 2,
        spare0 @ 30: 2,
        inode @ 32: 8,
        size @ 40: 8,
        blocks @ 48: 8,
        attributes_mask @ 56: 8,
        accessed @ 64: 16,
        born @ 80: 16,
        changed @ 96: 16,
        modified @ 112: 16,
        rdev_major @ 128: 4,
        rdev_minor @ 132: 4,
        dev_major @ 136: 4,
        dev_minor @ 140: 4,
        spare2 @ 144: 112
    }
    fu_t_1_fuse_statx_in: WireGetStatx, 24 {
        flags @ 0: 4,
        reserved @ 4: 4,
        handle @ 8: 8,
        sx_flags @ 16: 4,
        sx_mask @ 20: 4
    }
    fu_t_1_fuse_statx_out: WireStatxReply, 288 {
        lifetime @ 0: 8,
        lifetime_nanos @ 8: 4,
        flags @ 12: 4,
        spare @ 16: 16,
        stat @ 32: 256
    }
    fu_t_1_fuse_interrupt_in: WireInterrupt, 8 {
        unique @ 0: 8
    }
    fu_t_1_fuse_bmap_in: WireBmap, 16 {
        block @ 0: 8,
        block_size @ 8: 4,
        padding @ 12: 4
    }
    fu_t_1_fuse_bmap_out: WireBmapReply, 8 {
        block @ 0: 8
    }
    fu_t_1_fuse_ioctl_in: WireIoctl, 32 {
        handle @ 0: 8,
        flags @ 8: 4,
        command @ 12: 4,
        argument @ 16: 8,
        input_len @ 24: 4,
        output_len @ 28: 4
    }
    fu_t_1_fuse_ioctl_iovec: WireIoctlRange, 16 {
        base @ 0: 8,
        len @ 8: 8
    }
    fu_t_1_fuse_ioctl_out: WireIoctlReply, 16 {
        result @ 0: 4,
        flags @ 4: 4,
        inputs @ 8: 4,
        outputs @ 12: 4
    }
    fu_t_1_fuse_poll_in: WirePoll, 24 {
        handle @ 0: 8,
        wake_up @ 8: 8,
        flags @ 16: 4,
        events @ 20: 4
    }
    fu_t_1_fuse_poll_out: WirePollReply, 8 {
        events @ 0: 4,
        padding @ 4: 4
    }
    fu_t_1_fuse_notify_poll_wakeup_out: WireNotifyPoll, 8 {
        wake_up @ 0: 8
    }
    fu_t_1_fuse_notify_inval_inode_out: WireNotifyInvalInode, 24 {
        node @ 0: 8,
        offset @ 8: 8,
        length @ 16: 8
    }
    fu_t_1_fuse_notify_inval_entry_out: WireNotifyInvalEntry, 16 {
        parent @ 0: 8,
        name_len @ 8: 4,
        flags @ 12: 4
    }
    fu_t_1_fuse_notify_delete_out: WireNotifyDelete, 24 {
        parent @ 0: 8,
        child @ 8: 8,
        name_len @ 16: 4,
        padding @ 20: 4
    }
    fu_t_1_fuse_notify_store_out: WireNotifyStore, 24 {
        node @ 0: 8,
        offset @ 8: 8,
        size @ 16: 4,
        padding @ 20: 4
    }
    fu_t_1_fuse_notify_retrieve_out: WireNotifyRetrieve, 32 {
        question @ 0: 8,
        node @ 8: 8,
        offset @ 16: 8,
        size @ 24: 4,
        padding @ 28: 4
    }
    fu_t_1_fuse_notify_retrieve_in: WireNotifyReply, 40 {
        dummy1 @ 0: 8,
        offset @ 8: 8,
        size @ 16: 4,
        dummy2 @ 20: 4,
        dummy3 @ 24: 8,
        dummy4 @ 32: 8
    }
    fu_t_1_fuse_notify_prune_out: WireNotifyPrune, 16 {
        count @ 0: 4,
        padding @ 4: 4,
        spare @ 8: 8
    }
    fu_t_1_fuse_setupmapping_in: WireSetupMapping, 40 {
        handle @ 0: 8,
        file_offset @ 8: 8,
        length @ 16: 8,
        flags @ 24: 8,
        window_offset @ 32: 8
    }
    fu_t_1_fuse_removemapping_in: WireRemoveMapping, 4 {
        count @ 0: 4
    }
    fu_t_1_fuse_removemapping_one: WireRemoveMappingOne, 16 {
        window_offset @ 0: 8,
        length @ 8: 8
    }
    fu_t_1_fuse_setxattr_in_short: WireSetXattrShort, 8 {
        size @ 0: 4,
        flags @ 4: 4
    }
    fu_t_1_fuse_init_in_head: WireInit, 16 {
        major @ 0: 4,
        minor @ 4: 4,
        max_readahead @ 8: 4,
        flags @ 12: 4
    }
    fu_t_1_fuse_init_in_tail: WireInitExt, 48 {
        flags2 @ 0: 4,
        unused @ 4: 44
    }
}
