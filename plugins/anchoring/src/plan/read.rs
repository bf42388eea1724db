//! Reads a plan line by line and checks it like any other input.

use super::{Line, Plan};
use crate::tier::Prices;

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan line {line}: {field} is {value}: {rule} ({hint})")]
pub struct BadPlan {
    /// Counts from 1.
    pub line: u64,
    /// The field as it stands in the line.
    pub field: String,
    /// What stands there, shortened.
    pub value: String,
    /// What it must be.
    pub rule: String,
    /// The likely mistake.
    pub hint: String,
}

/// Reads a plan in constant memory.
#[derive(Debug)]
pub struct PlanReader {
    prices: Option<Prices>,
}

impl PlanReader {
    /// With prices, every frame must cost what its tier costs.
    pub fn new(prices: Option<Prices>) -> Self {
        Self { prices }
    }

    /// The next line; `None` for an empty one.
    ///
    /// # Errors
    /// The line is no line of a plan, or contradicts an earlier one.
    pub fn feed(&mut self, text: &str) -> Result<Option<Line>, BadPlan> {
        todo!("{text} {:?}", self.prices)
    }

    /// Call after the last line.
    ///
    /// # Errors
    /// There was no header, or the frames don't cost what it says.
    pub fn finish(self) -> Result<(), BadPlan> {
        todo!()
    }
}

impl Line {
    /// One line of a plan by itself: shapes, types and ranges, not its place among the others. `number` is for the error.
    ///
    /// # Errors
    /// It is not a line of a plan.
    pub fn parse(text: &str, number: u64) -> Result<Self, BadPlan> {
        todo!("{text} {number}")
    }
}

impl Plan {
    /// A whole plan from its lines.
    ///
    /// # Errors
    /// As [`PlanReader::feed`] and [`PlanReader::finish`].
    pub fn read<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        prices: Option<Prices>,
    ) -> Result<Self, BadPlan> {
        let _ = (lines.into_iter().count(), prices);
        todo!()
    }
}
