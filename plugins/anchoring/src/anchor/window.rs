//! Windows of anchors: their extent, and where two of them part.

use crate::settings::{AnchorSettings, Widen};
use crate::time::{Nanos, Window};

/// How far a window reaches before and after its time. The sides that may grow are multiplied by `1 + gain * uncertainty`; then the growth is
/// scaled so that the length respects the limits.
pub(super) fn reach(settings: &AnchorSettings, uncertainty: f32) -> (Nanos, Nanos) {
    let widen = 1.0 + (settings.uncertainty_gain * f64::from(uncertainty)).clamp(0.0, 10.0);
    let before = Nanos::from_ms(settings.pre_ms.into());
    let after = Nanos::from_ms(settings.post_ms.max(1).into());
    let (wide_before, wide_after) = match settings.widen {
        Widen::Both => (before.scaled(widen), after.scaled(widen)),
        Widen::Before => (before.scaled(widen), after),
        Widen::After => (before, after.scaled(widen)),
    };
    let base = before + after;
    let length = wide_before + wide_after;
    let least = Nanos::from_ms(settings.min_window_ms.into());
    let most = Nanos::from_ms(settings.max_window_ms.into()).max(base);
    let wanted = length.max(least).min(most);
    if wanted == length {
        return (wide_before, wide_after);
    }
    let growth = wanted - base;
    let share = match settings.widen {
        Widen::Both => before.get() as f64 / base.get() as f64,
        Widen::Before => 1.0,
        Widen::After => 0.0,
    };
    let earlier = growth.scaled(share);
    (before + earlier, after + (growth - earlier))
}

/// `[start, stop)`, extended where needed to contain `at`.
pub(crate) fn window_containing(at: Nanos, start: Nanos, stop: Nanos) -> Window {
    Window::at_least(start.min(at), stop.max(at + Nanos::new(1)))
}

/// Halfway between two instants, where their windows part if they meet. After `a` and at most `b`, if `a < b`.
pub(crate) fn midpoint(a: Nanos, b: Nanos) -> Nanos {
    Nanos::new(a.get().midpoint(b.get()))
        .max(a + Nanos::new(1))
        .min(b)
}
