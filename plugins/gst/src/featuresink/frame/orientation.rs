//! How a frame must be turned to stand upright.

/// How to turn a frame upright: mirror it left to right (if `mirror`), then turn it clockwise by quarters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Orientation {
    /// Quarter turns clockwise, 0..=3.
    pub(in super::super) quarters: u8,
    /// Mirrored left to right before that.
    pub(in super::super) mirror: bool,
}

impl Orientation {
    /// All eight, by their names in the tag `image-orientation`.
    pub(in super::super) const ALL: [(&'static str, Self); 8] = [
        ("rotate-0", Self::new(0, false)),
        ("rotate-90", Self::new(1, false)),
        ("rotate-180", Self::new(2, false)),
        ("rotate-270", Self::new(3, false)),
        ("flip-rotate-0", Self::new(0, true)),
        ("flip-rotate-90", Self::new(1, true)),
        ("flip-rotate-180", Self::new(2, true)),
        ("flip-rotate-270", Self::new(3, true)),
    ];

    const fn new(quarters: u8, mirror: bool) -> Self {
        Self { quarters, mirror }
    }

    /// From the tag `image-orientation`; `None` if the text is not one of its values.
    pub(in super::super) fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == tag)
            .map(|(_, turn)| *turn)
    }

    /// Its name in the tag `image-orientation`.
    pub(in super::super) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, turn)| *turn == self)
            .map_or("rotate-0", |(name, _)| name)
    }

    /// Where pixel `(row, column)` of the upright square of side `px` comes from.
    pub(super) fn source(self, px: usize, row: usize, column: usize) -> (usize, usize) {
        let last = px - 1;
        let (row, column) = match self.quarters {
            1 => (last - column, row),
            2 => (last - row, last - column),
            3 => (column, last - row),
            _ => (row, column),
        };
        (row, if self.mirror { last - column } else { column })
    }
}
