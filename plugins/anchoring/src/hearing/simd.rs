//! Arithmetic on rows of numbers, compiled for the widest vectors of the machine.
//!
//! Plain loops are enough: the compiler vectorises them for the instruction set of the enclosing function. Order and
//! rounding of every operation are the same on all machines.

use fearless_simd::{Level, Simd};

/// Partial sums that are kept side by side.
const LANES: usize = 8;

/// Runs a closure compiled for the widest vectors. The closure and whatever it calls must be `#[inline(always)]`;
/// otherwise they are compiled for the baseline instruction set.
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    // AVX-512 gains nothing here, and lowers the clock of some processors.
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = Level::new().as_avx2() {
        return simd.vectorize(work);
    }
    work()
}

/// Work written in explicit vectors. `run` and whatever it calls must be `#[inline(always)]`.
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

/// Natural logarithms of positive, normal, finite numbers, to a relative error of about 1e-7. After `logf` of the
/// Cephes library.
#[inline(always)]
pub(crate) fn ln<const N: usize>(row: &[f32; N]) -> [f32; N] {
    let mut logs = [0.0; N];
    for (log, x) in logs.iter_mut().zip(row) {
        // x = 2^power * (1 + part), with 1 + part between sqrt(1/2) and sqrt(2).
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
        // ln 2 is split into two parts; the smaller is added first.
        let small = part * square * series - 2.121_944_4e-4 * power - 0.5 * square;
        *log = part + small + 0.693_359_4 * power;
    }
    logs
}

/// The sum, from eight partial sums that are added last.
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

/// Like `f32::max` for numbers, in a single instruction.
#[inline(always)]
pub(crate) const fn fast_max(a: f32, b: f32) -> f32 {
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
