//! When a notification is due (VIRTIO 1.3 §2.7.7.2, §2.7.10).

/// Whether an index that moved from `old` to `new` passed `event`, the place after which the other side wants to
/// hear of it. All three are free-running and wrap at 65,536, so they are compared by distances: the naive
/// `new > event` fails once a lap.
#[inline]
pub(crate) const fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests {
    use super::need_event;

    /// What the formula means, walked step by step.
    fn passes(event: u16, new: u16, old: u16) -> bool {
        let mut index = old;
        while index != new {
            if index == event {
                return true;
            }
            index = index.wrapping_add(1);
        }
        false
    }

    #[test]
    fn vq_18_an_event_is_due_exactly_when_its_index_is_passed() {
        let step = if cfg!(miri) { 4999 } else { 37 };
        for old in (0..=u16::MAX).step_by(step) {
            for batch in [0, 1, 2, 31, 32, 255, 256] {
                let new = old.wrapping_add(batch);
                for distance in -40_i16..300 {
                    let event = old.wrapping_add_signed(distance);
                    assert_eq!(need_event(event, new, old), passes(event, new, old), "{event} {new} {old}");
                }
            }
        }
    }

    #[test]
    fn vq_18_the_wrap_is_not_special() {
        assert!(need_event(65_535, 0, 65_535));
        assert!(need_event(65_530, 10, 65_520));
        assert!(need_event(3, 10, 65_520));
        assert!(!need_event(10, 10, 65_520));
        assert!(!need_event(65_519, 10, 65_520));
    }
}
