//! Changes of inputs.

/// Bytes that begin, end or separate something in many languages, and those at the ends of ranges.
const TELLING: &[u8] = b"/{}[]()=*.:,;%&?\"\\'-_+0e \t\r\n\0\x7f\x80\xff";
/// How many changes at most make one input of another.
const CHANGES: u64 = 8;

/// Chance, by the numbers of a seed (SplitMix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        if self.next().is_multiple_of(2) {
            TELLING[self.below(TELLING.len())]
        } else {
            self.next().to_le_bytes()[0]
        }
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Two places of `length` bytes, the first one first.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let (one, other) = (self.below(length + 1), self.below(length + 1));
        (one.min(other), one.max(other))
    }
}

/// One of these inputs, changed.
pub(super) fn changed(
    dice: &mut Dice,
    pool: &[(String, Vec<u8>)],
    words: &[&str],
    longest: usize,
) -> Vec<u8> {
    let mut input = dice.of(pool).1.clone();
    for _ in 0..=dice.next() % CHANGES {
        let (from, to) = dice.range(input.len());
        match dice.next() % 8 {
            0 if from < input.len() => input[from] = dice.byte(),
            1 if from < input.len() => input[from] ^= 1 << (dice.next() % 8),
            2 => input.insert(from, dice.byte()),
            3 => drop(input.drain(from..to)),
            4 => {
                let piece = input[from..to].to_vec();
                input.splice(from..from, piece);
            }
            5 => {
                let other = &dice.of(pool).1;
                let (begin, end) = dice.range(other.len());
                input.splice(from..to, other[begin..end].to_vec());
            }
            6 if !words.is_empty() => {
                let word = dice.of(words).bytes();
                input.splice(from..from, word);
            }
            _ => input.truncate(to),
        }
    }
    input.truncate(longest);
    input
}
