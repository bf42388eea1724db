//! Tiers: resolutions and their prices in tokens.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Visual tokens: patches of 16 by 16 pixels, the unit of every budget.
pub type Tokens = u64;

/// The resolution at which a frame is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// 112 px, 49 tokens.
    Low,
    /// 224 px, 196 tokens.
    Base,
    /// 448 px, 784 tokens.
    High,
}

impl Tier {
    /// Every tier, cheapest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Base, Self::High];

    /// The name used in YAML, plans and HDF5.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Base => "base",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| format!("unknown tier `{text}`: use low, base or high"))
    }
}

/// The price of a frame at each tier. Positive, and never falling from low to high.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    low: Tokens,
    base: Tokens,
    high: Tokens,
}

impl Default for Prices {
    /// Patch 16: 112 px = 49, 224 px = 196, 448 px = 784.
    fn default() -> Self {
        Self {
            low: 49,
            base: 196,
            high: 784,
        }
    }
}

impl Prices {
    /// `None` unless `0 < low <= base <= high`.
    pub fn new(low: Tokens, base: Tokens, high: Tokens) -> Option<Self> {
        (0 < low && low <= base && base <= high).then_some(Self { low, base, high })
    }
    /// The price of a frame.
    pub const fn of(self, tier: Tier) -> Tokens {
        match tier {
            Tier::Low => self.low,
            Tier::Base => self.base,
            Tier::High => self.high,
        }
    }
}
