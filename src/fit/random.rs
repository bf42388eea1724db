//! Random numbers that are the same on every machine for a seed (SplitMix64; Steele et al. 2014).

/// A stream of them.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// An independent stream for each key.
    pub(super) fn of(seed: u64, parts: &[u64]) -> Self {
        let mut own = Self(seed);
        for part in parts {
            own.0 = own.next() ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        own
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// In [low, high).
    pub(super) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// In 0..n; 0 for n = 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % (n.max(1) as u64)) as usize
    }

    /// Mean 0, deviation 1.
    pub(super) fn normal(&mut self) -> f32 {
        let (a, b) = (self.unit().max(1e-7), self.unit());
        (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
    }
}
