//! Reads a plan line by line, in constant memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anchoring::plan::{Line, PlanReader};
use anchoring::tier::Prices;
use anyhow::{Context, bail};

/// Longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Reads and checks a plan; every line goes to `each`, its header first.
///
/// # Errors
/// It cannot be read, is empty, or a line of it is wrong.
pub(crate) fn read(
    path: &Path,
    prices: Option<Prices>,
    mut each: impl FnMut(Line),
) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {}", name()))?;
    let mut lines = BufReader::new(file);
    let mut reader = PlanReader::new(prices);
    let mut line = String::new();
    let mut any = false;
    for number in 1_u64.. {
        line.clear();
        let read = Read::take(&mut lines, LONGEST_LINE)
            .read_line(&mut line)
            .with_context(|| format!("cannot read {} line {number}", name()))?;
        if read == 0 {
            break;
        }
        if read as u64 == LONGEST_LINE {
            bail!(
                "{} line {number} is longer than {LONGEST_LINE} bytes; is this a plan?",
                name()
            );
        }
        let text = match number {
            // Some editors write a byte order mark.
            1 => line.trim_start_matches('\u{feff}').trim_end(),
            _ => line.trim_end(),
        };
        if let Some(line) = reader.feed(text).with_context(name)? {
            any = true;
            each(line);
        }
    }
    reader.finish().with_context(name)?;
    if !any {
        bail!("{} is empty; a plan begins with a header", name());
    }
    Ok(())
}
