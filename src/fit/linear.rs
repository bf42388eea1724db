//! Solves small systems of linear equations.

/// `x` with `matrix x = right`, by elimination with pivots; `None` if there is none.
pub(super) fn solve<const N: usize>(
    mut matrix: [[f64; N]; N],
    mut right: [f64; N],
) -> Option<[f64; N]> {
    for pivot in 0..N {
        let largest = (pivot..N)
            .max_by(|a, b| matrix[*a][pivot].abs().total_cmp(&matrix[*b][pivot].abs()))?;
        matrix.swap(pivot, largest);
        right.swap(pivot, largest);
        let (row, own) = (matrix[pivot], right[pivot]);
        if row[pivot].abs() < 1e-12 {
            return None;
        }
        for k in (0..N).filter(|k| *k != pivot) {
            let share = matrix[k][pivot] / row[pivot];
            for (cell, x) in matrix[k].iter_mut().zip(row) {
                *cell -= share * x;
            }
            right[k] -= share * own;
        }
    }
    Some(std::array::from_fn(|k| right[k] / matrix[k][k]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_has_its_solution_or_none() {
        // The first pivot is zero.
        let matrix = [[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [3.0, 1.0, -1.0]];
        let found = solve(matrix, [7.0, 1.0, 2.0]).unwrap();
        for (own, wanted) in found.into_iter().zip([1.0, 2.0, 3.0]) {
            assert!((own - wanted).abs() < 1e-12, "{found:?}");
        }
        assert_eq!(solve([[1.0, 2.0], [2.0, 4.0]], [1.0, 1.0]), None);
    }
}
