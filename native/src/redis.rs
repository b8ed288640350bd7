//! The limits' round trips: what arrives while one is under way leaves together in the next.
//!
//! The connection is Python's gift, signed in and with the script loaded. Whatever goes wrong on it
//! ends it, and those who wait are Python's again: what a failing Redis means is said there.

use std::rc::Rc;

use crate::config::Config;
use crate::memory::{Grant, Rule};
use crate::sys::Fd;

const MOST: usize = 100;
const SECOND: i64 = 1_000_000;

/// What a client is told of its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The limit.
    pub limit: i64,
    /// What is left of it.
    pub remaining: i64,
    /// Seconds until it is full again.
    pub reset: i64,
}

/// Somebody who waits.
pub struct Check {
    /// Token of the client.
    pub client: u64,
    /// Who spends.
    pub grant: Rc<Grant>,
}

/// The connection, and who waits for it.
pub struct Redis {
    /// The socket.
    pub fd: Fd,
    waiting: Vec<Check>,
    asked: Vec<Check>,
    asked_at: f64,
    reply: Vec<u8>,
    request: Vec<u8>,
}

/// The connection is of no use any more.
#[derive(Debug)]
pub struct Lost;

impl Redis {
    /// On a connection that is ready.
    pub fn new(fd: Fd) -> Redis {
        Redis {
            fd,
            waiting: Vec::new(),
            asked: Vec::new(),
            asked_at: 0.0,
            reply: Vec::new(),
            request: Vec::new(),
        }
    }

    /// Let `check` leave with the next round trip.
    pub fn put(&mut self, check: Check) {
        self.waiting.push(check);
    }

    /// Everybody who waits, for Python.
    pub fn give_up(self) -> impl Iterator<Item = Check> {
        self.asked.into_iter().chain(self.waiting)
    }

    /// Whether anybody waits.
    pub fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.waiting.is_empty()
    }

    /// Whether the reply has been due for longer than it may take.
    pub fn is_overdue(&self, now: f64, timeout: f64) -> bool {
        !self.asked.is_empty() && now > self.asked_at + timeout
    }

    /// Begin a round trip, if somebody waits and none is under way.
    pub fn send(&mut self, config: &Config, now: f64) -> Result<(), Lost> {
        if !self.asked.is_empty() || self.waiting.is_empty() {
            return Ok(());
        }
        let count = self.waiting.len().min(MOST);
        self.asked.extend(self.waiting.drain(..count));
        self.asked_at = now;
        self.write_request(config);
        match self.fd.send(&self.request) {
            Ok(sent) if sent == self.request.len() => Ok(()),
            _ => Err(Lost),
        }
    }

    fn write_request(&mut self, config: &Config) {
        let rules: usize = self.asked.iter().map(|check| check.grant.rules.len()).sum();
        let parts = 3 + rules + 2 + self.asked.len() + 5 * rules;
        let to = &mut self.request;
        to.clear();
        to.extend_from_slice(format!("*{parts}\r\n").as_bytes());
        part(to, b"EVALSHA");
        part(to, &config.script);
        number(to, rules as i64);
        for rule in self.asked.iter().flat_map(|check| check.grant.rules.iter()) {
            part(to, &rule.key);
        }
        part(to, b"");
        part(to, &config.clock_tolerance);
        for check in &self.asked {
            number(to, check.grant.rules.len() as i64);
            for rule in check.grant.rules.iter() {
                for value in [rule.limit, rule.full, rule.price, rule.tick, 1] {
                    number(to, value);
                }
            }
        }
    }

    /// Take what has come; those who are answered, with what they are told, `None` being refused.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Vec<(Check, Option<Told>)>, Lost> {
        loop {
            match self.fd.receive(buffer) {
                Ok(0) => return Err(Lost),
                Ok(count) => {
                    self.reply.extend_from_slice(&buffer[..count]);
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(Lost),
            }
        }
        let rules: usize = self.asked.iter().map(|check| check.grant.rules.len()).sum();
        let Some(numbers) = numbers(&self.reply, 1 + 2 * rules)? else {
            return Ok(Vec::new());
        };
        self.reply.clear();
        let now = numbers[0];
        let mut pairs = numbers[1..].chunks_exact(2);
        Ok(self
            .asked
            .drain(..)
            .map(|check| {
                let buckets: Vec<_> = pairs.by_ref().take(check.grant.rules.len()).collect();
                let told = judge(&check.grant.rules, &buckets, now);
                (check, told)
            })
            .collect())
    }
}

/// What `quotas.bucket.judge` says of enforced rules and their refilled buckets.
pub fn judge(rules: &[Rule], buckets: &[&[i64]], now: i64) -> Option<Told> {
    let mut least: Option<(i64, Told)> = None;
    for (rule, bucket) in rules.iter().zip(buckets) {
        let (level, at) = (bucket[0], bucket[1]);
        if level < rule.price {
            return None;
        }
        let tokens = level / rule.token;
        if least.is_none_or(|(fewest, _)| tokens < fewest) {
            let left = level - rule.price;
            let full_at = at + up(rule.full - left, rule.limit) * rule.tick;
            let reset = up(full_at - now, SECOND).max(0);
            least = Some((tokens, Told { limit: rule.limit, remaining: left / rule.token, reset }));
        }
    }
    least.map(|(_, told)| told)
}

/// A division that rounds up.
fn up(amount: i64, by: i64) -> i64 {
    amount.div_euclid(by) + i64::from(amount.rem_euclid(by) != 0)
}

fn part(to: &mut Vec<u8>, content: &[u8]) {
    to.push(b'$');
    digits(to, content.len() as i64);
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(content);
    to.extend_from_slice(b"\r\n");
}

fn number(to: &mut Vec<u8>, value: i64) {
    let mut content = Vec::with_capacity(20);
    digits(&mut content, value);
    part(to, &content);
}

/// `value` in decimal.
pub fn digits(to: &mut Vec<u8>, value: i64) {
    let mut buffer = [0u8; 20];
    let mut place = buffer.len();
    let mut rest = value.unsigned_abs();
    loop {
        place -= 1;
        buffer[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        to.push(b'-');
    }
    to.extend_from_slice(&buffer[place..]);
}

/// The numbers of a reply once it is whole: an array of exactly `count` integers, nothing behind.
fn numbers(reply: &[u8], count: usize) -> Result<Option<Vec<i64>>, Lost> {
    if !reply.ends_with(b"\r\n") {
        return Ok(None);
    }
    let mut lines = reply[..reply.len() - 2]
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next() != Some(format!("*{count}").as_bytes()) {
        return Err(Lost);
    }
    let found: Option<Vec<i64>> = lines
        .map(|line| std::str::from_utf8(line.strip_prefix(b":")?).ok()?.parse().ok())
        .collect();
    match found {
        None => Err(Lost),
        Some(numbers) if numbers.len() < count => Ok(None),
        Some(numbers) if numbers.len() == count => Ok(Some(numbers)),
        Some(_) => Err(Lost),
    }
}
