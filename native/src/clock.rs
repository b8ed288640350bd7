//! Times as texts: the `Date` of an answer and the time of a line, each made once in its moment.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The engine's clock.
pub struct Clock {
    began: Instant,
    /// Seconds since it was made; does not step.
    pub now: f64,
    second: u64,
    date: Vec<u8>,
    stamp: Vec<u8>,
}

impl Clock {
    /// One that begins now.
    pub fn start() -> Clock {
        Clock {
            began: Instant::now(),
            now: 0.0,
            second: u64::MAX,
            date: Vec::new(),
            stamp: Vec::new(),
        }
    }

    /// Read it anew.
    pub fn look(&mut self) -> f64 {
        self.now = self.began.elapsed().as_secs_f64();
        self.now
    }

    /// An IMF-fixdate (RFC 9110 5.6.7).
    pub fn date(&mut self) -> &[u8] {
        self.refresh();
        &self.date
    }

    /// ISO 8601 with milliseconds, as Python's `isoformat` writes UTC.
    pub fn write_stamp(&mut self, to: &mut Vec<u8>) {
        let milliseconds = self.refresh();
        to.extend_from_slice(&self.stamp);
        to.extend_from_slice(format!(".{milliseconds:03}+00:00").as_bytes());
    }

    /// Make the texts of this second; the milliseconds in it.
    fn refresh(&mut self) -> u32 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs();
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil(second / 86_400);
            let (hour, minute, rest) = (second / 3600 % 24, second / 60 % 60, second % 60);
            let name = DAYS[(second / 86_400 % 7) as usize];
            let of = MONTHS[month as usize - 1];
            self.date = format!("{name}, {day:02} {of} {year} {hour:02}:{minute:02}:{rest:02} GMT")
                .into_bytes();
            self.stamp =
                format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{rest:02}").into_bytes();
        }
        since.subsec_millis()
    }
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(day: u64) -> (u64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }
}
