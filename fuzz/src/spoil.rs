//! A seed -> a mutated input: bits flipped, numbers made extreme, parts removed, doubled, cut, taken from other seeds.

use std::sync::Arc;

use proptest::prelude::*;

/// Texts that a parser may fail on.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xc2\x9b",
    b"\x1b[2J",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"-",
    b"-1",
    b"NaN",
    b"1e400",
    b"18446744073709551615",
    b"-9223372036854775808",
    b"null",
    b"../",
    b"\xef\xbb\xbf",
    b"${input}",
    b"&a *a",
];
/// Numbers at the edges of their types.
const EDGES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// One change; what the numbers mean depends on its kind.
type Change = (u8, prop::sample::Index, u16, u64);

/// Inputs of at most `largest` bytes. A smaller one has fewer changes.
pub(crate) fn strategy(seeds: Vec<Vec<u8>>, largest: usize) -> impl Strategy<Value = Arc<[u8]>> {
    let seeds: Arc<[Vec<u8>]> = seeds.into();
    let change = (
        any::<u8>(),
        any::<prop::sample::Index>(),
        any::<u16>(),
        any::<u64>(),
    );
    let changes = prop::collection::vec(change, 1..10);
    (any::<prop::sample::Index>(), changes).prop_map(move |(which, changes)| {
        let mut input = seeds
            .get(which.index(seeds.len().max(1)))
            .cloned()
            .unwrap_or_default();
        for change in &changes {
            apply(&mut input, change, &seeds);
        }
        input.truncate(largest);
        input.into()
    })
}

fn apply(input: &mut Vec<u8>, (kind, at, length, value): &Change, seeds: &[Vec<u8>]) {
    let at = at.index(input.len() + 1);
    let end = (at + usize::from(*length % 64)).min(input.len());
    match kind % 10 {
        0 | 1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << (value % 8);
            }
        }
        2 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = *value as u8;
            }
        }
        3 => {
            let edge = EDGES[(value % 10) as usize].to_le_bytes();
            let width = [1, 2, 4, 8][(length % 4) as usize];
            for (slot, byte) in input.iter_mut().skip(at).zip(&edge[..width]) {
                *slot = *byte;
            }
        }
        4 => {
            let word = WORDS[(value % 24) as usize];
            input.splice(at..at, word.iter().copied());
        }
        5 => {
            input.drain(at..end);
        }
        6 => {
            let part = input[at..end].to_vec();
            let times = (value % 40) as usize + 1;
            input.splice(at..at, part.repeat(times));
        }
        7 => input.truncate(at),
        8 => {
            // A part of a seed, to another place.
            let other = &seeds[(*value as usize) % seeds.len()];
            let from = (value >> 32) as usize % (other.len() + 1);
            let to = (from + usize::from(*length % 512)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        // A number in text becomes another.
        _ => {
            let digits = input[at..]
                .iter()
                .position(u8::is_ascii_digit)
                .map(|n| at + n);
            if let Some(from) = digits {
                let n = input[from..]
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                let edge = EDGES[(value % 10) as usize].to_string();
                input.splice(from..from + n, edge.into_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn the_same_seed_gives_other_inputs() {
        let mut runner = TestRunner::deterministic();
        let strategy = strategy(vec![b"one: 1\ntwo: [2, 3]\n".to_vec(), vec![0; 40]], 100);
        let all: std::collections::HashSet<Arc<[u8]>> = (0..200)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect();
        assert!(all.len() > 150 && all.iter().all(|input| input.len() <= 100));
    }
}
