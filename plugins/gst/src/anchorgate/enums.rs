//! The settings' enums as GObject types, for `gst-inspect-1.0` and `gst-launch-1.0`.

use anchoring::settings::{Policy, Spread, Widen};
use anchoring::tier::Tier;
use gst::glib;

/// [`Policy`] as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkPolicy")]
pub enum EarmarkPolicy {
    /// See [`Policy::Gated`].
    #[default]
    #[enum_value(name = "Anchors, and background frames in between", nick = "gated")]
    Gated,
    /// See [`Policy::Uniform`].
    #[enum_value(name = "Evenly spaced frames; ignores the sound", nick = "uniform")]
    Uniform,
    /// See [`Policy::Dense`].
    #[enum_value(name = "Every frame; no budget", nick = "dense")]
    Dense,
    /// See [`Policy::AnchorsOnly`].
    #[enum_value(
        name = "Anchors only; no background frames, no largest gap",
        nick = "anchors_only"
    )]
    AnchorsOnly,
    /// See [`Policy::Grid`].
    #[enum_value(
        name = "Clips on a regular grid; no budget; only with a plan",
        nick = "grid"
    )]
    Grid,
}

/// [`Tier`] as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkTier")]
pub enum EarmarkTier {
    /// See [`Tier::Low`].
    #[default]
    #[enum_value(name = "112 px, 49 tokens", nick = "low")]
    Low,
    /// See [`Tier::Base`].
    #[enum_value(name = "224 px, 196 tokens", nick = "base")]
    Base,
    /// See [`Tier::High`].
    #[enum_value(name = "448 px, 784 tokens", nick = "high")]
    High,
}

/// How to read a recording for a plan file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkAccess")]
pub enum EarmarkAccess {
    /// Seeks where that saves reading.
    #[default]
    #[enum_value(
        name = "Seeks to the next planned frame where that saves reading",
        nick = "auto"
    )]
    Auto,
    /// Reads everything.
    #[enum_value(name = "Reads everything", nick = "linear")]
    Linear,
    /// Seeks wherever the next planned frame lies beyond the next keyframe.
    #[enum_value(
        name = "Seeks wherever the next planned frame lies beyond the next keyframe",
        nick = "seek"
    )]
    Seek,
}

/// [`Spread`] as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkSpread")]
pub enum EarmarkSpread {
    /// See [`Spread::Time`].
    #[default]
    #[enum_value(name = "Evenly over time", nick = "time")]
    Time,
    /// See [`Spread::Change`].
    #[enum_value(
        name = "Evenly over how much the video changes, measured by the sizes of its encoded frames",
        nick = "change"
    )]
    Change,
}

impl From<EarmarkSpread> for Spread {
    fn from(spread: EarmarkSpread) -> Self {
        match spread {
            EarmarkSpread::Time => Self::Time,
            EarmarkSpread::Change => Self::Change,
        }
    }
}

impl From<Spread> for EarmarkSpread {
    fn from(spread: Spread) -> Self {
        match spread {
            Spread::Time => Self::Time,
            Spread::Change => Self::Change,
        }
    }
}

/// [`Widen`] as a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "EarmarkWiden")]
pub enum EarmarkWiden {
    /// See [`Widen::Both`].
    #[default]
    #[enum_value(name = "Both, in proportion to their lengths", nick = "both")]
    Both,
    /// See [`Widen::Before`].
    #[enum_value(name = "The side before the onset", nick = "before")]
    Before,
    /// See [`Widen::After`].
    #[enum_value(name = "The side after the onset", nick = "after")]
    After,
}

impl From<EarmarkWiden> for Widen {
    fn from(widen: EarmarkWiden) -> Self {
        match widen {
            EarmarkWiden::Both => Self::Both,
            EarmarkWiden::Before => Self::Before,
            EarmarkWiden::After => Self::After,
        }
    }
}

impl From<Widen> for EarmarkWiden {
    fn from(widen: Widen) -> Self {
        match widen {
            Widen::Both => Self::Both,
            Widen::Before => Self::Before,
            Widen::After => Self::After,
        }
    }
}

impl From<EarmarkPolicy> for Policy {
    fn from(policy: EarmarkPolicy) -> Self {
        match policy {
            EarmarkPolicy::Gated => Self::Gated,
            EarmarkPolicy::Uniform => Self::Uniform,
            EarmarkPolicy::Dense => Self::Dense,
            EarmarkPolicy::AnchorsOnly => Self::AnchorsOnly,
            EarmarkPolicy::Grid => Self::Grid,
        }
    }
}

impl From<Policy> for EarmarkPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Gated => Self::Gated,
            Policy::Uniform => Self::Uniform,
            Policy::Dense => Self::Dense,
            Policy::AnchorsOnly => Self::AnchorsOnly,
            Policy::Grid => Self::Grid,
        }
    }
}

impl From<EarmarkTier> for Tier {
    fn from(tier: EarmarkTier) -> Self {
        match tier {
            EarmarkTier::Low => Self::Low,
            EarmarkTier::Base => Self::Base,
            EarmarkTier::High => Self::High,
        }
    }
}

impl From<Tier> for EarmarkTier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Low => Self::Low,
            Tier::Base => Self::Base,
            Tier::High => Self::High,
        }
    }
}
