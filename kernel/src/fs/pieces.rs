//! Moving many bytes piece by piece.
//!
//! ```text
//!   |=======|=======|====---|-------|      what is asked for, in pieces
//!    whole   whole   in part  not tried     moved: the first 20 of these 32
//! ```
//!
//! A read or a write of many pieces says what one of a single piece says: how many bytes were moved, from the first on and
//! without a gap. So nothing is tried behind a piece that was not moved whole, and an error behind the first byte is not
//! reported: the next call, which begins where it happened, finds it again.

/// Moves pieces of these lengths, but the empty ones, until one is not moved whole: how many bytes that were. Each is moved
/// with the number of those before it.
///
/// # Errors
///
/// That of the first piece.
pub fn one_after_the_other<P, E>(
    pieces: impl Iterator<Item = (usize, P)>,
    mut transfer: impl FnMut(usize, P) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut done = 0;
    for (length, piece) in pieces.filter(|&(length, _)| length > 0) {
        match transfer(done, piece) {
            Ok(count) => {
                done += count.min(length);
                if count < length {
                    break;
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::one_after_the_other;

    /// Moves pieces of these lengths, the answers being these: what comes of it, and the positions that were tried.
    fn moved(lengths: &[usize], answers: &[Result<usize, char>]) -> (Result<usize, char>, Vec<usize>) {
        let mut tried = Vec::new();
        let pieces = lengths.iter().map(|&length| (length, ()));
        let result = one_after_the_other(pieces, |done, ()| {
            tried.push(done);
            answers[tried.len() - 1]
        });
        (result, tried)
    }

    #[test]
    fn whole_pieces_follow_each_other() {
        assert_eq!(moved(&[3, 0, 4], &[Ok(3), Ok(4)]), (Ok(7), vec![0, 3]));
        assert_eq!(moved(&[], &[]), (Ok(0), vec![]));
    }

    #[test]
    fn nothing_is_tried_behind_a_piece_that_was_not_moved_whole() {
        assert_eq!(moved(&[3, 4, 5], &[Ok(3), Ok(2), Ok(5)]), (Ok(5), vec![0, 3]));
        assert_eq!(moved(&[3, 4, 5], &[Ok(3), Ok(0), Ok(5)]), (Ok(3), vec![0, 3]));
    }

    #[test]
    fn an_error_is_reported_where_nothing_was_moved_before_it() {
        assert_eq!(moved(&[3, 4], &[Err('a'), Ok(4)]), (Err('a'), vec![0]));
        assert_eq!(moved(&[3, 4], &[Ok(3), Err('b')]), (Ok(3), vec![0, 3]));
    }

    #[test]
    fn no_more_is_counted_than_was_asked_for() {
        assert_eq!(moved(&[3, 4], &[Ok(9), Ok(4)]), (Ok(7), vec![0, 3]));
    }
}
