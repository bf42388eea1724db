//! Arithmetic on rows of numbers, compiled for the widest vectors that the machine has.
//!
//! Plain loops do: the compiler makes vectors of them, as wide as the place allows where they
//! stand. Nothing is added or multiplied in another order or
//! rounded otherwise on one machine than on another.

use fearless_simd::{Level, Simd};

/// Sums that are made side by side and added last.
const LANES: usize = 8;

/// Does some work on the widest vectors. The closure and what it calls must be `#[inline(always)]`, or are compiled for any machine.
pub(crate) fn wide<R>(work: impl FnOnce() -> R) -> R {
    // Wider ones gain nothing here, and make some processors run slower.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = Level::new().as_avx2() {
        return simd.vectorize(work);
    }
    work()
}

/// Work that is written in vectors. `run` must be `#[inline(always)]`, as what it calls.
pub(crate) trait Kernel {
    fn run<S: Simd>(self, simd: S);
}

/// Runs a kernel on the widest vectors.
pub(crate) fn dispatch(kernel: impl Kernel) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = Level::new().as_avx2() {
        return simd.vectorize(
            #[inline(always)]
            || kernel.run(simd),
        );
    }
    fearless_simd::dispatch!(Level::baseline(), simd => kernel.run(simd));
}

/// Natural logarithms of normal numbers, not negative, not infinite; to about one in ten millions. After the Cephes library's `logf`.
#[inline(always)]
pub(crate) fn ln<const N: usize>(row: &[f32; N]) -> [f32; N] {
    let mut logs = [0.0; N];
    for (log, x) in logs.iter_mut().zip(row) {
        // x = 2^power * (1 + part), 1 + part between the roots of a half and of two.
        let bits = x.to_bits() as i32;
        let power = (bits - 0x3f35_04f3) >> 23;
        let part = f32::from_bits((bits - (power << 23)) as u32) - 1.0;
        let power = power as f32;
        let mut series = 7.037_683_6e-2;
        series = series * part - 1.151_461e-1;
        series = series * part + 1.167_699_9e-1;
        series = series * part - 1.242_014_1e-1;
        series = series * part + 1.424_932_3e-1;
        series = series * part - 1.666_805_8e-1;
        series = series * part + 2.000_071_5e-1;
        series = series * part - 2.499_999_4e-1;
        series = series * part + 3.333_333e-1;
        let square = part * part;
        // ln 2 in two parts, the smaller first.
        let small = part * square * series - 2.121_944_4e-4 * power - 0.5 * square;
        *log = part + small + 0.693_359_4 * power;
    }
    logs
}

/// The sum, made of eight that are added last.
#[inline(always)]
pub(crate) fn sum<const N: usize>(row: &[f32; N]) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    sums.iter().chain(rest).sum()
}

/// As `f32::max` for numbers, and a single instruction.
#[inline(always)]
pub(crate) const fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_the_library() {
        let mut x = 1e-30;
        while x < 1e30 {
            let exact = f64::from(x).ln();
            let error = (f64::from(ln(&[x])[0]) - exact).abs();
            assert!(error <= 1.2e-7 * exact.abs().max(0.1), "{x}: {error}");
            x *= 1.000_1;
        }
        assert_eq!(ln(&[1.0]), [0.0]);
    }

    #[test]
    fn sums_leave_nothing_out() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[2.0; 7]), 14.0);
        assert_eq!(sum(&std::array::from_fn::<f32, 19, _>(|i| i as f32)), 171.0);
    }
}
