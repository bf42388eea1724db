//! Sorts like NumPy's `argsort`, including the order of equal numbers: Hoare's quicksort with the median of three, and insertion for short
//! pieces (Sedgewick, 1978). Scorers that sort with it take detections of equal score in this order, which is neither that of the file nor its
//! reverse, and it changes the fifth digit of their figures. It is the order of NumPy without AVX-512 or AVX2.

/// Longest distance between first and last of a piece that is sorted by insertion.
const SHORT: usize = 15;

/// Indices of `values`, by ascending value. None may be NaN.
pub(super) fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let Some(last) = values.len().checked_sub(1) else {
        return order;
    };
    let less = |a: usize, b: usize| values[a] < values[b];
    let deepest = 2 * values.len().ilog2();
    let mut open = vec![(0, last, deepest)];
    while let Some((mut first, mut last, mut depth)) = open.pop() {
        while last - first > SHORT {
            if depth == 0 {
                // Numbers built to be slow.
                order[first..=last].sort_by(|a, b| values[*a].total_cmp(&values[*b]));
                break;
            }
            depth -= 1;
            let middle = split(&mut order, first, last, less);
            // The longer piece waits.
            if middle - first < last - middle {
                open.push((middle + 1, last, depth));
                last = middle - 1;
            } else {
                open.push((first, middle - 1, depth));
                first = middle + 1;
            }
        }
        insert(&mut order[first..=last], less);
    }
    order
}

/// Partitions by the median of the first, middle and last; returns its position, which is neither the first nor the last.
fn split(
    order: &mut [usize],
    first: usize,
    last: usize,
    less: impl Fn(usize, usize) -> bool,
) -> usize {
    let middle = first + (last - first) / 2;
    for (a, b) in [(first, middle), (middle, last), (first, middle)] {
        if less(order[b], order[a]) {
            order.swap(a, b);
        }
    }
    let median = order[middle];
    let (mut low, mut high) = (first, last - 1);
    order.swap(middle, high);
    // The ends stop both scans: the first is not above, the last not below the median.
    loop {
        low += 1;
        while less(order[low], median) {
            low += 1;
        }
        high -= 1;
        while less(median, order[high]) {
            high -= 1;
        }
        if low >= high {
            break;
        }
        order.swap(low, high);
    }
    order.swap(low, last - 1);
    low
}

fn insert(piece: &mut [usize], less: impl Fn(usize, usize) -> bool) {
    for i in 1..piece.len() {
        let mut at = i;
        while at > 0 && less(piece[at], piece[at - 1]) {
            piece.swap(at, at - 1);
            at -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers as in the script that was run with NumPy 1.26, without AVX: `x = x * 1664525 + 1013904223 mod 2^32` from 1, `x >> 8`.
    fn numbers(count: usize, below: u32) -> Vec<f64> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from((state >> 8) % below)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn equal_numbers_are_in_numpys_order() {
        // sum over i of i * order[i], modulo 1000003.
        let digest = |count, below| {
            let order = ascending(&numbers(count, below));
            order
                .iter()
                .enumerate()
                .fold(0, |sum, (i, at)| (sum + i * at) % 1_000_003)
        };
        let golden = [
            (10, 3, 270),
            (17, 2, 921),
            (18, 1, 1225),
            (40, 4, 15664),
            (100, 10, 251990),
            (1000, 7, 399182),
            (1000, 1, 446698),
            (5000, 100, 52050),
        ];
        for (count, below, sum) in golden {
            assert_eq!(digest(count, below), sum, "{count} numbers below {below}");
        }
    }

    #[test]
    fn they_ascend() {
        for count in [0, 1, 2, 16, 17, 18, 33, 1000] {
            for below in [1, 2, 1 << 20] {
                let values = numbers(count, below);
                let order = ascending(&values);
                assert!(
                    order
                        .windows(2)
                        .all(|pair| values[pair[0]] <= values[pair[1]])
                );
                let mut all = order.clone();
                all.sort_unstable();
                assert!(all.iter().enumerate().all(|(i, at)| i == *at));
            }
        }
    }
}
