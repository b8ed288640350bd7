//! Metrics that are only added up: rows of numbers in memory that every process of the gateway sees.
//!
//! `runtime/tally.py` has made the rows, and nobody but the engine adds to these.

use crate::codec::Reader;
use crate::sys::Row;

/// Answers by status class, 2xx to 4xx, and their durations.
pub struct Outcomes {
    classes: [Row; 3],
    spread: Row,
}

impl Outcomes {
    /// What a message says.
    pub fn read(m: &mut Reader) -> Outcomes {
        Outcomes { classes: [row(m), row(m), row(m)], spread: row(m) }
    }

    /// Count one. `bounds` are those of the durations.
    pub fn add(&self, status: u16, seconds: f64, bounds: &[f64]) {
        if let Some(class) = self.classes.get(usize::from(status / 100).wrapping_sub(2)) {
            class.add(0, 1.0);
        }
        self.spread.add(bounds.partition_point(|&bound| bound < seconds), 1.0);
        self.spread.add(bounds.len() + 1, seconds);
    }
}

/// A row that a message tells the address of.
pub fn row(m: &mut Reader) -> Row {
    Row::at(m.i64() as usize)
}
