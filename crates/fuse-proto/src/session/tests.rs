//! What a session learns, FU-SEM-7, FU-SEM-8 and FU-T-7, and the numbers of requests.

use zerocopy::FromZeros;
use zerocopy::little_endian::U32;

use super::*;
use crate::ops::Opened;

fn session(minor: u32, flags: InitFlags) -> Session {
    let mut reply = WireInitReply::new_zeroed();
    reply.major = U32::new(MAJOR);
    reply.minor = U32::new(minor);
    reply.flags = U32::MAX_VALUE;
    reply.map_alignment = 0.into();
    Session::negotiate(&Init::new(1 << 20).offer(flags), &reply).expect("a good reply")
}

#[test]
fn fu_sem_7_hd_fs_46_open_without_handles_is_learnt_once() {
    for opcode in [Opcode::Open, Opcode::OpenDir] {
        let mut session = session(38, InitFlags::BASIC);
        assert_eq!(session.plan(opcode), Plan::Send);
        assert_eq!(session.learn_unsupported(opcode), Some(Plan::Skip));
        assert_eq!(session.plan(opcode), Plan::Skip);
    }
    assert_eq!(Opened::WITHOUT_HANDLE.handle, None);
}

#[test]
fn fu_sem_7_open_and_opendir_are_learnt_apart() {
    let mut session = session(38, InitFlags::BASIC);
    assert_eq!(session.learn_unsupported(Opcode::Open), Some(Plan::Skip));
    assert_eq!(session.plan(Opcode::OpenDir), Plan::Send);
}

#[test]
fn fu_sem_7_without_negotiation_enosys_on_open_is_an_error() {
    let mut session = session(38, InitFlags::MAX_PAGES);
    for opcode in [Opcode::Open, Opcode::OpenDir] {
        assert_eq!(session.learn_unsupported(opcode), None);
        assert_eq!(session.plan(opcode), Plan::Send);
    }
}

#[test]
fn handles_are_released_whatever_was_learnt_since() {
    let mut session = session(38, InitFlags::BASIC);
    assert_eq!(session.learn_unsupported(Opcode::Open), Some(Plan::Skip));
    assert_eq!(session.plan(Opcode::Release), Plan::Send);
    assert_eq!(session.learn_unsupported(Opcode::Release), None);
}

#[test]
fn fu_sem_8_fu_t_7_every_operation_with_a_fallback_is_remembered() {
    use Opcode::*;
    let refuse = Plan::Refuse(Errno::EOPNOTSUPP);
    let table = [
        (Flush, Plan::Skip),
        (FSync, Plan::Skip),
        (FSyncDir, Plan::Skip),
        (SyncFs, Plan::Skip),
        (Access, Plan::Skip),
        (SetXattr, refuse),
        (GetXattr, refuse),
        (ListXattr, refuse),
        (RemoveXattr, refuse),
        (FAllocate, refuse),
        (TmpFile, refuse),
        (Ioctl, Plan::Refuse(Errno::ENOTTY)),
        (Bmap, Plan::Refuse(Errno::EINVAL)),
        (Poll, Plan::Emulate),
        (Link, Plan::Refuse(Errno::EPERM)),
        (LSeek, Plan::Emulate),
        (CopyFileRange, Plan::Emulate),
        (CopyFileRange64, Plan::UseInstead(CopyFileRange)),
        (Rename2, Plan::Refuse(Errno::EINVAL)),
        (Create, Plan::UseInstead(MkNod)),
        (ReadDirPlus, Plan::UseInstead(ReadDir)),
        (StatX, Plan::UseInstead(GetAttr)),
    ];
    for (opcode, plan) in table {
        let mut session = session(45, InitFlags::BASIC);
        assert_eq!(session.plan(opcode), Plan::Send, "{opcode}");
        assert_eq!(session.learn_unsupported(opcode), Some(plan), "{opcode}");
        assert_eq!(session.plan(opcode), plan, "{opcode}");
        let others = table.iter().filter(|(other, _)| *other != opcode);
        for (other, _) in others {
            assert_eq!(session.plan(*other), Plan::Send, "{opcode} taught {other}");
        }
    }
}

#[test]
fn fu_t_7_for_all_other_operations_enosys_is_the_answer_every_time() {
    use Opcode::*;
    let others = [
        Lookup, Forget, GetAttr, SetAttr, ReadLink, SymLink, MkNod, MkDir, Unlink, RmDir, Rename, Read, Write, StatFs,
        Release, Init, ReadDir, ReleaseDir, Interrupt, Destroy,
    ];
    for opcode in others {
        let mut session = session(45, InitFlags::BASIC);
        assert_eq!(session.learn_unsupported(opcode), None, "{opcode}");
        assert_eq!(session.plan(opcode), Plan::Send, "{opcode}");
    }
}

#[test]
fn fu_sem_8_one_lock_operation_speaks_for_all() {
    let mut session = session(38, InitFlags::POSIX_LOCKS);
    let learnt = session.learn_unsupported(Opcode::SetLkW);
    assert_eq!(learnt, Some(Plan::Emulate));
    for opcode in [Opcode::GetLk, Opcode::SetLk, Opcode::SetLkW] {
        assert_eq!(session.plan(opcode), Plan::Emulate);
    }
}

#[test]
fn fu_sem_8_an_operation_that_nothing_replaces_stays_an_error() {
    let mut session = session(38, InitFlags::BASIC);
    for opcode in [Opcode::Lookup, Opcode::GetAttr, Opcode::Read, Opcode::ReadDir, Opcode::ReadLink, Opcode::StatFs] {
        assert_eq!(session.learn_unsupported(opcode), None, "{opcode}");
        assert_eq!(session.plan(opcode), Plan::Send, "{opcode}");
    }
}

#[test]
fn readdirplus_that_was_not_negotiated_is_readdir() {
    let flags = InitFlags::BASIC.difference(InitFlags::DO_READDIRPLUS);
    let session = session(38, flags);
    let plan = session.plan(Opcode::ReadDirPlus);
    assert_eq!(plan, Plan::UseInstead(Opcode::ReadDir));
}

#[test]
fn operations_younger_than_the_session_are_replaced() {
    let old = session(15, InitFlags::BASIC);
    let forget = Plan::UseInstead(Opcode::Forget);
    assert_eq!(old.plan(Opcode::BatchForget), forget);
    let refused = Plan::Refuse(Errno::EINVAL);
    assert_eq!(session(22, InitFlags::BASIC).plan(Opcode::Rename2), refused);
    assert_eq!(session(16, InitFlags::BASIC).plan(Opcode::BatchForget), Plan::Send);
    assert_eq!(session(23, InitFlags::BASIC).plan(Opcode::Rename2), Plan::Send);
    let since = [
        (Opcode::FAllocate, 19),
        (Opcode::LSeek, 24),
        (Opcode::CopyFileRange, 28),
        (Opcode::SetupMapping, 31),
        (Opcode::RemoveMapping, 31),
        (Opcode::SyncFs, 34),
        (Opcode::TmpFile, 37),
        (Opcode::StatX, 39),
        (Opcode::CopyFileRange64, 45),
    ];
    for (opcode, minor) in since {
        assert_eq!(session(minor, InitFlags::BASIC).plan(opcode), Plan::Send, "{opcode}");
        let old = session(minor - 1, InitFlags::BASIC);
        assert_ne!(old.plan(opcode), Plan::Send, "{opcode}");
        assert_eq!(old.clone().learn_unsupported(opcode), Some(old.plan(opcode)), "{opcode}");
    }
}

#[test]
fn fu_sem_8_a_server_without_mappings_has_none_to_remove() {
    let mut session = session(38, InitFlags::BASIC);
    assert_eq!(session.learn_unsupported(Opcode::SetupMapping), Some(Plan::Emulate));
    assert_eq!(session.plan(Opcode::RemoveMapping), Plan::Emulate);
}

#[test]
fn fu_sem_8_a_rename_with_flags_is_never_one_without() {
    let einval = Plan::Refuse(Errno::EINVAL);
    let plain = Plan::UseInstead(Opcode::Rename);
    let mut session = session(38, InitFlags::BASIC);
    assert_eq!(session.plan_rename(RenameFlags::empty()), plain);
    assert_eq!(session.plan_rename(RenameFlags::NO_REPLACE), Plan::Send);
    assert_eq!(session.learn_unsupported(Opcode::Rename2), Some(einval));
    assert_eq!(session.plan_rename(RenameFlags::empty()), plain);
    for flags in [RenameFlags::NO_REPLACE, RenameFlags::EXCHANGE, RenameFlags::WHITEOUT] {
        assert_eq!(session.plan_rename(flags), einval);
    }
}

#[test]
fn the_client_applies_the_mask_unless_the_server_does() {
    assert_eq!(session(38, InitFlags::BASIC).masked(0o4777, 0o022), 0o4755);
    assert_eq!(session(38, InitFlags::DONT_MASK).masked(0o4777, 0o022), 0o4777);
}

#[test]
fn fu_fr_7_numbers_are_even_and_differ() {
    let mut allocator = UniqueAllocator::new();
    let [a, b, c] = [(); 3].map(|()| allocator.allocate().get());
    assert_eq!([a, b, c], [2, 4, 6]);
}

#[test]
fn fu_fr_7_numbers_stay_below_bit_63() {
    let last = Unique::new((1 << 63) - 2).expect("the last one");
    let mut allocator = UniqueAllocator { next: last };
    assert_eq!(allocator.allocate(), last);
    assert_eq!(allocator.allocate(), Unique::FIRST);
}
