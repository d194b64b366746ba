// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Blocks of the stream at moments: what SACK reports, what was sent again. Of a stretch of time the
//! blocks are put together, so that their number has a bound and every octet stays.

/// Blocks of one stretch; beyond these the two that are nearest to each other become one.
const MOST: usize = 8;

/// Blocks of a connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    done: Vec<Block>,
    open: Option<Open>,
}

/// The stretch that is being filled, its time in microseconds, and its blocks from the lowest on.
type Open = (u64, i64, Vec<(i64, i64)>);

/// (microseconds, first octet, octet behind the last).
pub type Block = (i64, i64, i64);

impl Blocks {
    /// Takes a block.
    pub fn push(&mut self, stretch: u64, us: i64, from: i64, to: i64) {
        if to <= from {
            return;
        }
        if self.open.as_ref().is_none_or(|(open, ..)| *open != stretch) {
            self.flush();
            self.open = Some((stretch, us, Vec::new()));
        }
        let Some((_, _, blocks)) = &mut self.open else { return };
        let (mut from, mut to) = (from, to);
        blocks.retain(|&(a, b)| {
            let apart = b < from || to < a;
            if !apart {
                (from, to) = (from.min(a), to.max(b));
            }
            apart
        });
        let at = blocks.partition_point(|&(a, _)| a < from);
        blocks.insert(at, (from, to));
        if blocks.len() > MOST {
            let nearest =
                (1..blocks.len()).min_by_key(|&i| blocks[i].0.saturating_sub(blocks[i - 1].1));
            if let Some(i) = nearest {
                blocks[i - 1].1 = blocks[i].1;
                blocks.remove(i);
            }
        }
    }

    /// All blocks.
    pub fn finish(mut self) -> Vec<Block> {
        self.flush();
        self.done
    }

    fn flush(&mut self) {
        if let Some((_, us, blocks)) = self.open.take() {
            self.done.extend(blocks.into_iter().map(|(from, to)| (us, from, to)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_stretch_are_put_together_and_no_octet_is_lost() {
        let mut blocks = Blocks::default();
        for (stretch, from, to) in [(0, 10, 20), (0, 30, 40), (0, 15, 32), (0, 7, 7), (1, 50, 60)] {
            blocks.push(stretch, stretch as i64 * 100, from, to);
        }
        assert_eq!(blocks.finish(), [(0, 10, 40), (100, 50, 60)]);
        let mut many = Blocks::default();
        (0..100).for_each(|i| many.push(0, 5, i * 100, i * 100 + 50));
        let many = many.finish();
        assert_eq!(many.len(), MOST);
        let inside = |octet| many.iter().any(|&(_, from, to)| from <= octet && octet < to);
        assert!((0..100).all(|i| inside(i * 100) && inside(i * 100 + 49)));
    }
}
