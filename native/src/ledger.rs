//! What became of requests, kept until Python asks: counts, and the lines of the request log.

use std::collections::HashMap;

use crate::codec::Writer;

/// Bytes of lines that may wait for Python; more are dropped, and counted.
const MOST_LINES: usize = 8 << 20;

/// Durations by bucket, and their sum in seconds.
#[derive(Clone)]
pub struct Spread {
    counts: Vec<u64>,
    sum: f64,
}

impl Spread {
    fn new(bounds: &[f64]) -> Spread {
        Spread { counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    fn add(&mut self, bounds: &[f64], seconds: f64) {
        self.counts[bounds.partition_point(|&bound| bound < seconds)] += 1;
        self.sum += seconds;
    }

    fn write(&self, to: Writer) -> Writer {
        self.counts.iter().fold(to.f64(self.sum), |to, &count| to.u64(count))
    }
}

#[derive(Clone)]
struct Counts {
    classes: [u64; 6],
    spread: Spread,
    /// Of instances: answers below 400, and those slower than the breaker of the service likes.
    successes: u64,
    slow: u64,
}

impl Counts {
    fn new(bounds: &[f64]) -> Counts {
        Counts { classes: [0; 6], spread: Spread::new(bounds), successes: 0, slow: 0 }
    }

    fn write(&self, to: Writer) -> Writer {
        let to = self.classes.iter().fold(to, |to, &count| to.u64(count));
        self.spread.write(to).u64(self.successes).u64(self.slow)
    }
}

/// An answer of an instance.
pub struct Attempt {
    /// Which instance.
    pub instance: u32,
    /// The answer's status.
    pub status: u16,
    /// From the request to the whole answer.
    pub seconds: f64,
    /// Whether that is slow.
    pub slow: bool,
}

/// Everything since Python asked last.
pub struct Ledger {
    bounds: Vec<f64>,
    plans: HashMap<u32, Counts>,
    instances: HashMap<u32, Counts>,
    grants: HashMap<u32, u64>,
    /// Requests under way now.
    pub in_flight: i64,
    lines: Vec<u8>,
    dropped: u64,
}

impl Ledger {
    /// An empty one, with these buckets.
    pub fn new(bounds: Vec<f64>) -> Ledger {
        Ledger {
            bounds,
            plans: HashMap::new(),
            instances: HashMap::new(),
            grants: HashMap::new(),
            in_flight: 0,
            lines: Vec::new(),
            dropped: 0,
        }
    }

    /// Count a request that has ended.
    pub fn count(
        &mut self,
        plan: u32,
        grant: u32,
        status: u16,
        seconds: f64,
        attempt: Option<Attempt>,
    ) {
        let bounds = &self.bounds;
        let counts = self.plans.entry(plan).or_insert_with(|| Counts::new(bounds));
        counts.classes[usize::from(status / 100).min(5)] += 1;
        counts.spread.add(bounds, seconds);
        *self.grants.entry(grant).or_insert(0) += 1;
        let Some(attempt) = attempt else { return };
        let counts = self.instances.entry(attempt.instance).or_insert_with(|| Counts::new(bounds));
        counts.classes[usize::from(attempt.status / 100).min(5)] += 1;
        counts.spread.add(bounds, attempt.seconds);
        if attempt.status < 400 {
            counts.successes += 1;
            counts.slow += u64::from(attempt.slow);
        }
    }

    /// Keep a line, its line feed included.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.lines.len() < MOST_LINES {
            write(&mut self.lines);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether lines wait that Python should fetch.
    pub fn is_full(&self) -> bool {
        self.lines.len() > 64 << 10
    }

    /// What waits as a message, and is kept no longer. Counts of routes and callers, of which there
    /// may be thousands, only where it is to be `whole`.
    pub fn fold(&mut self, whole: bool) -> Vec<u8> {
        let mut to = Writer::default();
        to = to.u64(self.in_flight as u64).u64(self.dropped);
        to = write_counts(to, &mut self.instances).bytes(&self.lines);
        if whole {
            to = write_counts(to, &mut self.plans).u32(self.grants.len() as u32);
            to = self.grants.drain().fold(to, |to, (grant, count)| to.u32(grant).u64(count));
        }
        self.lines.clear();
        self.dropped = 0;
        to.0
    }
}

fn write_counts(mut to: Writer, counts: &mut HashMap<u32, Counts>) -> Writer {
    to = to.u32(counts.len() as u32);
    for (id, counts) in counts.drain() {
        to = counts.write(to.u32(id));
    }
    to
}
