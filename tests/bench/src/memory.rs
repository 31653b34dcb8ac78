//! The least memory that a guest boots with.

use anyhow::Result;

/// The least number of MiB in `1..=enough` for which `boots` is true, found by bisection; `enough` must work. What is
/// found is tried once more, so that one lucky boot does not decide.
///
/// # Errors
///
/// What `boots` returns.
pub fn least(enough: u32, mut boots: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut fails, mut works) = (0, enough);
    while works - fails > 1 {
        let middle = fails.midpoint(works);
        *(if boots(middle)? { &mut works } else { &mut fails }) = middle;
    }
    while works < enough && !boots(works)? {
        works += 1;
    }
    Ok(works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_is_found_wherever_it_lies() {
        for limit in 1..=64 {
            assert_eq!(least(64, |memory| Ok(memory >= limit)).expect("no error"), limit);
        }
    }

    #[test]
    fn one_lucky_boot_does_not_decide() {
        let mut lucky = true;
        let boots = |memory| Ok(memory >= 20 || (memory == 19 && std::mem::take(&mut lucky)));
        assert_eq!(least(64, boots).expect("no error"), 20);
    }
}
