//! [`Tree`]: along which members a broadcast or a reduction goes.
//!
//! A binomial tree over the *distances* of members from the root, counted in the order of ranks and round:
//!
//! ```text
//!   0 ---+----+------- 4 --+---- 6 -- 7        parent of d:    d without its lowest bit
//!        |    |            |                   children of d:  d + 1, d + 2, d + 4, ... below its lowest bit
//!        1    2 -- 3       5                   depth:          as many as d has bits set
//! ```
//!
//! What hangs below a member, itself included, are distances without a gap: child `d + 2^k` has those up to `d + 2^(k+1)`.
//! Hence a member that combines its own value with its children's, nearest first, combines in the order of distances.

/// The tree of a group of `size` members with the member `root` on top, which is one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    pub(super) size: usize,
    pub(super) root: usize,
}

impl Tree {
    /// How far the member `rank` is from the root.
    fn distance(self, rank: usize) -> usize {
        if rank >= self.root { rank - self.root } else { rank + self.size - self.root }
    }

    /// The member so far from the root; `distance` is below the size.
    fn member(self, distance: usize) -> usize {
        let to_the_end = self.size - self.root;
        if distance < to_the_end { self.root + distance } else { distance - to_the_end }
    }

    /// Who is above the member `rank`; nobody is above the root.
    pub(super) fn parent(self, rank: usize) -> Option<usize> {
        let distance = self.distance(rank);
        (distance > 0).then(|| self.member(distance & (distance - 1)))
    }

    /// Who is below the member `rank`, nearest first. The last has the most below itself.
    pub(super) fn children(self, rank: usize) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let distance = self.distance(rank);
        // Powers of two below the lowest bit (of 0: all), and small enough for the group.
        let farthest = self.size - distance - 1;
        let count = distance.trailing_zeros().min(usize::BITS - farthest.leading_zeros());
        (0..count).map(move |bit| self.member(distance + (1 << bit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees() -> impl Iterator<Item = Tree> {
        (1..=33).flat_map(|size| (0..size).map(move |root| Tree { size, root }))
    }

    #[test]
    fn parents_and_children_are_the_same_edges() {
        for tree in trees() {
            let mut edges = 0;
            for rank in 0..tree.size {
                for child in tree.children(rank) {
                    assert_eq!(tree.parent(child), Some(rank), "{tree:?}, child {child}");
                    edges += 1;
                }
            }
            assert_eq!(edges, tree.size - 1, "{tree:?}");
            assert_eq!(tree.parent(tree.root), None);
        }
    }

    #[test]
    fn no_member_is_deeper_or_busier_than_the_logarithm() {
        for tree in trees() {
            let logarithm = tree.size.next_power_of_two().ilog2() as usize;
            for rank in 0..tree.size {
                let depth = core::iter::successors(tree.parent(rank), |&above| tree.parent(above)).count();
                assert!(depth <= logarithm, "{tree:?}, member {rank}: {depth}");
                assert!(tree.children(rank).count() <= logarithm, "{tree:?}, member {rank}");
            }
        }
    }

    #[test]
    fn combining_nearest_children_first_keeps_the_order() {
        fn collect(tree: Tree, rank: usize, order: &mut Vec<usize>) {
            order.push(rank);
            tree.children(rank).for_each(|child| collect(tree, child, order));
        }
        for tree in trees() {
            let mut order = Vec::new();
            collect(tree, tree.root, &mut order);
            assert!(order.into_iter().eq((tree.root..tree.size).chain(0..tree.root)), "{tree:?}");
        }
    }
}
