//! What Python has to hear of requests that have ended: what instances answered, for breakers and
//! budgets; who used which limits and keys; the lines of the request log. What is only to be added
//! up goes into rows of metrics instead (`counters`), without Python.

use std::collections::{HashMap, HashSet};

use crate::codec::Writer;

/// Bytes of lines that may wait for Python; more are dropped, and counted.
const MOST_LINES: usize = 8 << 20;

/// Answers of one instance, and how many of them a breaker counts as successes, or as slow.
#[derive(Default)]
struct Answers {
    all: u64,
    successes: u64,
    slow: u64,
}

/// Everything since Python asked last.
#[derive(Default)]
pub struct Ledger {
    instances: HashMap<u32, Answers>,
    accounts: HashMap<u32, u64>,
    keys: HashSet<u64>,
    /// Requests under way now.
    pub in_flight: i64,
    lines: Vec<u8>,
    dropped: u64,
}

impl Ledger {
    /// A request of an account has ended, by a key; 0: none that matters.
    pub fn note_use(&mut self, account: u32, key: u64) {
        if account != 0 {
            *self.accounts.entry(account).or_insert(0) += 1;
        }
        if key != 0 {
            self.keys.insert(key);
        }
    }

    /// An instance has answered.
    pub fn note_answer(&mut self, instance: u32, success: bool, slow: bool) {
        let answers = self.instances.entry(instance).or_default();
        answers.all += 1;
        answers.successes += u64::from(success);
        answers.slow += u64::from(success && slow);
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

    /// What waits as a message, and is kept no longer; accounts and keys, of which there may be
    /// thousands, only where it is to be `whole`.
    pub fn fold(&mut self, whole: bool) -> Vec<u8> {
        let mut to = Writer::default().u64(self.in_flight as u64).u64(self.dropped);
        to = to.u32(self.instances.len() as u32);
        for (instance, answers) in self.instances.drain() {
            to = to.u32(instance).u64(answers.all).u64(answers.successes).u64(answers.slow);
        }
        to = to.bytes(&self.lines);
        if whole {
            to = to.u32(self.accounts.len() as u32);
            to = self.accounts.drain().fold(to, |to, (account, count)| to.u32(account).u64(count));
            to = to.u32(self.keys.len() as u32);
            to = self.keys.drain().fold(to, Writer::u64);
        }
        self.lines.clear();
        self.dropped = 0;
        to.0
    }
}
