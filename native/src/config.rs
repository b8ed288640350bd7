//! What Python tells the engine once: the header rules as data, texts, times and bounds.

use std::collections::HashMap;

use crate::codec::Reader;
use crate::counters::row;
use crate::sys::{Loads, Row};

const LONGEST_NAME: usize = 64;

/// What becomes of a header line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It travels on.
    Kept,
    /// It does not.
    Dropped,
    /// Python has to decide.
    Declined,
    /// `Host`.
    Host,
    /// `Connection`.
    Connection,
    /// `X-API-Key`.
    ApiKey,
    /// `Authorization`.
    Authorization,
    /// `X-Request-Id`.
    RequestId,
    /// `Content-Length`.
    ContentLength,
    /// `Date`.
    Date,
    /// One of the `RateLimit-*`: ours replaces it where there is one.
    RateLimit,
}

impl Fate {
    fn of(code: u8) -> Fate {
        match code {
            1 => Fate::Dropped,
            3 => Fate::Host,
            4 => Fate::Connection,
            5 => Fate::ApiKey,
            6 => Fate::Authorization,
            7 => Fate::RequestId,
            8 => Fate::ContentLength,
            9 => Fate::Date,
            10 => Fate::RateLimit,
            _ => Fate::Declined,
        }
    }
}

/// The fates of header names, by Python's tables.
pub struct Names {
    request: HashMap<Vec<u8>, Fate>,
    prefix: Vec<u8>,
    answer: HashMap<Vec<u8>, Fate>,
}

impl Names {
    fn read(message: &mut Reader) -> Names {
        let request = message.list(|one| (one.bytes(), Fate::of(one.u8()))).into_iter().collect();
        let prefix = message.bytes();
        let answer = message.list(|one| (one.bytes(), Fate::of(one.u8()))).into_iter().collect();
        Names { request, prefix, answer }
    }

    /// Of a client's header.
    pub fn request_fate(&self, name: &[u8]) -> Fate {
        let mut lower = [0u8; LONGEST_NAME];
        let Some(name) = lowered(name, &mut lower) else {
            return Fate::Declined;
        };
        if name.starts_with(&self.prefix) {
            return Fate::Dropped;
        }
        self.request.get(name).copied().unwrap_or(Fate::Kept)
    }

    /// Of an upstream's header.
    pub fn answer_fate(&self, name: &[u8]) -> Fate {
        let mut lower = [0u8; LONGEST_NAME];
        let Some(name) = lowered(name, &mut lower) else {
            return Fate::Declined;
        };
        self.answer.get(name).copied().unwrap_or(Fate::Kept)
    }
}

fn lowered<'a>(name: &[u8], buffer: &'a mut [u8; LONGEST_NAME]) -> Option<&'a [u8]> {
    let place = buffer.get_mut(..name.len())?;
    place.copy_from_slice(name);
    place.make_ascii_lowercase();
    Some(place)
}

/// Everything that does not change while the engine runs. Times in seconds.
pub struct Config {
    /// Python's doorbell.
    pub bell: i32,
    /// Requests under way at each instance.
    pub loads: Loads,
    /// Whether a line is written for each request.
    pub lines: bool,
    /// How long a client may take to ask for the first time.
    pub client_first: f64,
    /// How long it may be idle after that.
    pub client_idle: f64,
    /// How long a connection to an upstream is kept idle.
    pub upstream_idle: f64,
    /// How long Redis may take.
    pub redis_timeout: f64,
    /// Connections to one instance.
    pub most_connections: usize,
    /// Longer heads of requests are left to Python, which refuses them.
    pub longest_head: usize,
    /// So are longer targets.
    pub longest_target: usize,
    /// Larger bodies are left to Python.
    pub largest_body: usize,
    /// What a request id begins with.
    pub process: Vec<u8>,
    /// `Via` of everything that passes.
    pub via: Vec<u8>,
    /// Where chance begins.
    pub seed: u64,
    /// Digest of the script in Redis.
    pub script: Vec<u8>,
    /// Its second argument.
    pub clock_tolerance: Vec<u8>,
    /// Upper bounds of the histograms.
    pub bounds: Vec<f64>,
    /// Counts callers that were known.
    pub verified: Row,
    /// Status lines by status; answers of others are left to Python.
    pub status_lines: HashMap<u16, Vec<u8>>,
    /// The rules for headers.
    pub names: Names,
}

impl Config {
    /// What `message` says.
    pub fn read(mut message: Reader) -> Config {
        let m = &mut message;
        Config {
            bell: m.i32(),
            loads: Loads::at(m.i64() as usize, m.u32() as usize),
            lines: m.u8() == 1,
            client_first: m.f64(),
            client_idle: m.f64(),
            upstream_idle: m.f64(),
            redis_timeout: m.f64(),
            most_connections: m.u32() as usize,
            longest_head: m.u32() as usize,
            longest_target: m.u32() as usize,
            largest_body: m.u32() as usize,
            process: m.bytes(),
            via: m.bytes(),
            seed: m.i64() as u64 | 1,
            script: m.bytes(),
            clock_tolerance: m.bytes(),
            bounds: m.list(|one| one.f64()),
            verified: row(m),
            status_lines: m.list(|one| (one.u32() as u16, one.bytes())).into_iter().collect(),
            names: Names::read(m),
        }
    }
}
