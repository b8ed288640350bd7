//! An exchange on its way: what is known of it, and the bytes it is made of.

use std::rc::Rc;

use crate::answer::{write_line, Answer};
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::memory::{Grant, Instance, Place, Plan};
use crate::redis::{digits, Told};
use crate::request::{at, Request};

/// What a client asks for.
pub struct Asked<'a> {
    /// The head as it came.
    pub head: &'a [u8],
    /// The places of its parts.
    pub request: &'a Request,
    /// The client's address.
    pub peer: &'a str,
    /// The port it came to.
    pub port: u16,
}

impl Asked<'_> {
    fn authority(&self) -> &[u8] {
        at(self.head, self.request.authority)
    }
}

/// What is known of an exchange. Times are the engine's.
pub struct Journey {
    /// The route and the path for its upstream.
    pub place: Rc<Place>,
    /// The caller.
    pub grant: Rc<Grant>,
    /// What the client is told of its limits, once they were spent from.
    pub told: Option<Told>,
    /// When the head was complete.
    pub started: f64,
    /// The instance that is asked, once it is chosen.
    pub instance: Option<Rc<Instance>>,
    /// When the request was sent to it; 0 before.
    pub sent: f64,
    /// When this goes to Python if nothing happens; infinite before an instance is chosen.
    pub deadline: f64,
    /// The request's id.
    pub id: Vec<u8>,
    /// `00-<trace id>-<span id>-00` (W3C Trace Context).
    pub trace: [u8; 55],
}

/// How an exchange ended.
pub struct Ended {
    /// What the client got; 499 for nothing.
    pub status: u16,
    /// Bytes of the body.
    pub size: usize,
    /// Seconds from the request to the instance's answer, if there was one.
    pub answered_in: Option<f64>,
}

impl Journey {
    /// The route.
    pub fn plan(&self) -> &Plan {
        &self.place.plan
    }

    /// The request for the upstream (CONTRACT §4, §5).
    pub fn write_request(&self, asked: &Asked, config: &Config, output: &mut Vec<u8>) {
        output.clear();
        output.extend_from_slice(b"GET ");
        output.extend_from_slice(&self.place.target);
        output.extend_from_slice(at(asked.head, asked.request.query));
        output.extend_from_slice(b" HTTP/1.1\r\n");
        let host = match &self.instance {
            Some(instance) if !self.plan().preserve_host => &instance.authority,
            _ => asked.authority(),
        };
        write_line(b"host", host, output);
        for &(name, value) in &asked.request.kept {
            write_line(at(asked.head, name), at(asked.head, value), output);
        }
        write_line(b"x-forwarded-for", asked.peer.as_bytes(), output);
        write_line(b"x-forwarded-proto", b"http", output);
        write_line(b"x-forwarded-host", asked.authority(), output);
        write_number(b"x-forwarded-port", i64::from(asked.port), output);
        write_line(b"x-request-id", &self.id, output);
        write_line(b"traceparent", &self.trace, output);
        write_line(b"via", &config.via, output);
        output.extend_from_slice(&self.grant.identity);
        output.extend_from_slice(b"\r\n");
    }

    /// The whole answer for the client, of one that came as `input`.
    pub fn write_answer(
        &self,
        answer: &Answer,
        input: &[u8],
        config: &Config,
        clock: &mut Clock,
        output: &mut Vec<u8>,
    ) {
        output.clear();
        answer.write_head(input, config, self.told.is_some(), output);
        if !answer.dated {
            write_line(b"date", clock.date(), output);
        }
        write_line(b"via", &config.via, output);
        write_line(b"x-request-id", &self.id, output);
        if let Some(told) = self.told {
            write_number(b"ratelimit-limit", told.limit, output);
            write_number(b"ratelimit-remaining", told.remaining, output);
            write_number(b"ratelimit-reset", told.reset, output);
        }
        output.extend_from_slice(b"\r\n");
        output.extend_from_slice(&input[answer.head..]);
    }

    /// Count it, and write its line if there is to be one.
    pub fn record(
        &self,
        asked: &Asked,
        ended: Ended,
        ledger: &mut Ledger,
        clock: &mut Clock,
        config: &Config,
    ) {
        let seconds = clock.now - self.started;
        self.count(&ended, seconds, ledger, config);
        let upstream = ended.answered_in.unwrap_or(0.0);
        if config.lines {
            ledger.line(|to| {
                self.write_line(asked, ended.status, ended.size, clock, to);
                let trace = String::from_utf8_lossy(&self.trace[3..35]);
                let rest = format!(
                    ",\"seconds\":{seconds:.6},\"upstream_seconds\":{upstream:.6},\
                     \"trace\":\"{trace}\"}}\n"
                );
                to.extend_from_slice(rest.as_bytes());
            });
        }
    }

    fn count(&self, ended: &Ended, seconds: f64, ledger: &mut Ledger, config: &Config) {
        let (plan, grant, bounds) = (self.plan(), &self.grant, &config.bounds);
        plan.outcomes.add(ended.status, seconds, bounds);
        if grant.keyed {
            config.verified.add(0, 1.0);
        }
        if !grant.rules.is_empty() {
            plan.allowed.add(0, 1.0);
        }
        ledger.note_use(grant.account, grant.key);
        if let (Some(instance), Some(seconds)) = (&self.instance, ended.answered_in) {
            instance.outcomes.add(ended.status, seconds, bounds);
            ledger.note_answer(instance.id, ended.status < 400, seconds > plan.slow);
        }
    }

    /// The members of `RequestLine` (gateway_project/log_lines.py) up to its times, in its order.
    fn write_line(
        &self,
        asked: &Asked,
        status: u16,
        size: usize,
        clock: &mut Clock,
        to: &mut Vec<u8>,
    ) {
        let sent = self.sent > 0.0;
        to.extend_from_slice(b"{\"time\":\"");
        clock.write_stamp(to);
        to.extend_from_slice(b"\",\"level\":\"INFO\",\"type\":\"request\",\"request_id\":\"");
        to.extend_from_slice(&self.id);
        to.extend_from_slice(b"\",\"method\":\"GET\",\"host\":\"");
        let host = to.len();
        to.extend_from_slice(&asked.authority()[..asked.request.host_length as usize]);
        to[host..].make_ascii_lowercase();
        to.extend_from_slice(b"\",\"path\":\"");
        to.extend_from_slice(at(asked.head, asked.request.path));
        to.extend_from_slice(b"\",\"status\":");
        digits(to, i64::from(status));
        to.extend_from_slice(b",\"code\":\"\",");
        to.extend_from_slice(&self.plan().line);
        to.extend_from_slice(b",\"instance\":");
        match &self.instance {
            Some(instance) if sent => to.extend_from_slice(&instance.line),
            _ => to.extend_from_slice(b"\"\""),
        }
        to.extend_from_slice(if sent { b",\"attempts\":1," } else { b",\"attempts\":0," });
        to.extend_from_slice(&self.grant.line);
        to.extend_from_slice(b",\"client\":\"");
        to.extend_from_slice(asked.peer.as_bytes());
        to.extend_from_slice(b"\",\"received_bytes\":0,\"sent_bytes\":");
        digits(to, size as i64);
    }
}

fn write_number(name: &[u8], value: i64, output: &mut Vec<u8>) {
    output.extend_from_slice(name);
    output.extend_from_slice(b": ");
    digits(output, value);
    output.extend_from_slice(b"\r\n");
}

/// Where new ids come from: unique, not secret.
pub struct Ids {
    process: Vec<u8>,
    sequence: u64,
    chance: u64,
}

impl Ids {
    /// Request ids begin with `process`; traces come from `seed`, which is not 0.
    pub fn new(process: Vec<u8>, seed: u64) -> Ids {
        Ids { process, sequence: 0, chance: seed }
    }

    /// A new request id.
    pub fn request(&mut self) -> Vec<u8> {
        self.sequence += 1;
        let mut id = self.process.clone();
        write_hexadecimal(self.sequence, &mut id);
        id
    }

    /// A new trace.
    pub fn trace(&mut self) -> [u8; 55] {
        let mut text = Vec::with_capacity(55);
        text.extend_from_slice(b"00-");
        write_hexadecimal(self.draw(), &mut text);
        write_hexadecimal(self.draw(), &mut text);
        text.push(b'-');
        write_hexadecimal(self.draw(), &mut text);
        text.extend_from_slice(b"-00");
        let mut trace = [b'0'; 55];
        trace.copy_from_slice(&text);
        trace
    }

    /// xorshift64* (Vigna 2016); never 0.
    fn draw(&mut self) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D).max(1)
    }
}

fn write_hexadecimal(value: u64, to: &mut Vec<u8>) {
    for place in (0..16).rev() {
        to.push(b"0123456789abcdef"[(value >> (4 * place) & 15) as usize]);
    }
}
