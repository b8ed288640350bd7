//! Whatever comes over the wire, reading it never panics: that would end the worker.

use gateway_fastpath::answer::{Answer, Progress};
use gateway_fastpath::codec::{Reader, Writer};
use gateway_fastpath::config::Config;
use gateway_fastpath::memory::Rule;
use gateway_fastpath::redis::{judge, Told};
use gateway_fastpath::request::{at, read, Request};

const GET: &[u8] =
    b"GET /a/b?x=1 HTTP/1.1\r\nHost: a.example:80\r\nX-A: 1\r\nConnection: keep-alive\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nDate: today\r\n\r\nok";

fn config() -> Config {
    let names: [(&[u8], u8); 4] = [(b"host", 3), (b"connection", 4), (b"te", 2), (b"x-api-key", 5)];
    let answers: [(&[u8], u8); 3] = [(b"content-length", 8), (b"date", 9), (b"connection", 4)];
    let mut to = Writer::default().i32(-1).u64(0).u32(0).u8(0).f64(1.0).f64(1.0).f64(1.0).f64(1.0);
    to = to.u32(8).u32(256).u32(64).u32(1024);
    to = to.bytes(b"p").bytes(b"1.1 gateway").u64(7).bytes(b"sha").bytes(b"1");
    to = to.u32(0).u64(0).u32(1).u32(200).bytes(b"HTTP/1.1 200 OK");
    to = names.iter().fold(to.u32(4), |to, (name, fate)| to.bytes(name).u8(*fate));
    to = answers
        .iter()
        .fold(to.bytes(b"x-forwarded-").u32(3), |to, (name, fate)| to.bytes(name).u8(*fate));
    Config::read(Reader(&to.0))
}

/// xorshift64 (Marsaglia 2003): the same bytes in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// `sample` with a few bytes changed, dropped, doubled or cut off.
    fn spoilt(&mut self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for _ in 0..self.below(5) {
            let place = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[place] = self.below(256) as u8,
                1 => drop(bytes.remove(place)),
                2 => bytes.insert(place, b"\r\n :/?.\0"[self.below(8)]),
                _ => bytes.truncate(place),
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    }
}

#[test]
fn a_plain_request_is_read() {
    let mut request = Request::default();
    read(GET, &config(), &mut request).unwrap();
    assert_eq!(at(GET, request.path), b"/a/b");
    assert_eq!(at(GET, request.query), b"?x=1");
    assert_eq!(at(GET, request.authority), b"a.example:80");
    assert_eq!(request.host_length, 9);
    assert_eq!(request.kept.len(), 1);
}

#[test]
fn no_bytes_of_a_client_panic() {
    let (config, mut chance, mut request) = (config(), Chance(1), Request::default());
    for _ in 0..300_000 {
        let bytes = chance.spoilt(GET);
        if read(&bytes, &config, &mut request).is_some() {
            assert!(bytes.ends_with(b"\r\n\r\n"));
            assert!(at(&bytes, request.path).starts_with(b"/"));
        }
    }
}

#[test]
fn no_bytes_of_an_upstream_panic() {
    let (config, mut chance) = (config(), Chance(2));
    for _ in 0..300_000 {
        let bytes = chance.spoilt(OK);
        let cut = chance.below(bytes.len() + 1);
        let mut answer = Answer::default();
        if answer.read(&bytes[..cut], &config) == Progress::Partial {
            answer.read(&bytes, &config);
        }
        let mut output = Vec::new();
        if answer.head > 0 {
            answer.write_head(&bytes, &config, true, &mut output);
        }
    }
}

#[test]
fn what_is_told_of_a_limit() {
    // quotas.bucket.judge for a limit of 100 a minute: ticks of 100 microseconds, 600,000 a token.
    let rule = |limit: i64, capacity: i64| Rule {
        key: vec![],
        limit,
        full: capacity * 600_000,
        price: 600_000,
        tick: 100,
        token: 600_000,
    };
    let rules = [rule(100, 100), rule(10, 10)];
    let full: [&[i64]; 2] = [&[60_000_000, 1_000_000], &[6_000_000, 1_000_000]];
    let told = judge(&rules, &full, 1_000_000);
    assert_eq!(told, Some(Told { limit: 10, remaining: 9, reset: 6 }));
    let spent: [&[i64]; 2] = [&[60_000_000, 1_000_000], &[599_999, 1_000_000]];
    assert_eq!(judge(&rules, &spent, 1_000_000), None);
}
