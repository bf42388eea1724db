//! The largest matching of a bipartite graph: Hopcroft and Karp, 1973.

use std::collections::VecDeque;

/// No partner.
const NONE: usize = usize::MAX;

/// For every vertex on the left, its partner on the right. `edges`: the possible partners of each, all below `right`.
pub(super) fn largest(edges: &[Vec<usize>], right: usize) -> Vec<Option<usize>> {
    let mut left_of = vec![NONE; right];
    let mut right_of = vec![NONE; edges.len()];
    loop {
        // Layers of alternating paths that begin at free vertices.
        let mut layer = vec![NONE; edges.len()];
        let mut queue: VecDeque<usize> = VecDeque::new();
        for (u, at) in layer.iter_mut().enumerate() {
            if right_of[u] == NONE {
                *at = 0;
                queue.push_back(u);
            }
        }
        let mut ends = false;
        while let Some(u) = queue.pop_front() {
            for v in &edges[u] {
                let next = left_of[*v];
                if next == NONE {
                    ends = true;
                } else if layer[next] == NONE {
                    layer[next] = layer[u] + 1;
                    queue.push_back(next);
                }
            }
        }
        if !ends {
            let matched = right_of.into_iter();
            return matched.map(|v| (v != NONE).then_some(v)).collect();
        }
        let mut tried = vec![0; edges.len()];
        for start in 0..edges.len() {
            if right_of[start] == NONE {
                extend(
                    start,
                    edges,
                    &mut layer,
                    &mut tried,
                    &mut left_of,
                    &mut right_of,
                );
            }
        }
    }
}

/// Follows one path from `start` to a free vertex on the right, if there is one, and swaps the partners along it. No recursion: paths may be
/// long.
fn extend(
    start: usize,
    edges: &[Vec<usize>],
    layer: &mut [usize],
    tried: &mut [usize],
    left_of: &mut [usize],
    right_of: &mut [usize],
) {
    let mut path = vec![start];
    while let Some(&u) = path.last() {
        let Some(&v) = edges[u].get(tried[u]) else {
            // A dead end.
            layer[u] = NONE;
            path.pop();
            if let Some(&before) = path.last() {
                tried[before] += 1;
            }
            continue;
        };
        let next = left_of[v];
        if next == NONE {
            for &u in &path {
                let v = edges[u][tried[u]];
                left_of[v] = u;
                right_of[u] = v;
            }
            return;
        }
        if layer[next] != NONE && layer[next] == layer[u] + 1 {
            path.push(next);
        } else {
            tried[u] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(edges: &[Vec<usize>], right: usize) -> usize {
        let matched = largest(edges, right);
        let mut used: Vec<usize> = matched.iter().flatten().copied().collect();
        for (u, v) in matched.iter().enumerate() {
            assert!(v.is_none_or(|v| edges[u].contains(&v)));
        }
        used.sort_unstable();
        used.dedup();
        let count = matched.iter().flatten().count();
        assert_eq!(used.len(), count, "one partner each");
        count
    }

    #[test]
    fn a_greedy_choice_is_undone() {
        assert_eq!(size(&[vec![0, 1], vec![0]], 2), 2);
        assert_eq!(size(&[vec![0, 1], vec![0, 2], vec![0], vec![2]], 3), 3);
        assert_eq!(size(&[vec![], vec![0]], 1), 1);
        assert_eq!(size(&[], 0), 0);
    }

    /// Compares with trying everything, on small random graphs.
    #[test]
    fn it_is_the_largest() {
        fn best(edges: &[Vec<usize>], used: u32) -> usize {
            let Some((first, rest)) = edges.split_first() else {
                return 0;
            };
            let with = first
                .iter()
                .filter(|v| used & (1 << **v) == 0)
                .map(|v| 1 + best(rest, used | (1 << v)));
            with.chain([best(rest, used)]).max().unwrap_or(0)
        }
        let mut state = 7_u32;
        let mut draw = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for _ in 0..300 {
            let (left, right) = (1 + draw(6), 1 + draw(6) as usize);
            let edges: Vec<Vec<usize>> = (0..left)
                .map(|_| (0..right).filter(|_| draw(3) == 0).collect())
                .collect();
            assert_eq!(size(&edges, right), best(&edges, 0), "{edges:?}");
        }
    }
}
