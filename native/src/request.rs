//! Reading a request that the fast path may serve, and writing it for its upstream.
//!
//! This is no HTTP parser: it knows the plainest form of a request, to the byte, and says of
//! everything else that Python is to read it. What it takes, Python would take with the same
//! meaning (`tests/fastpath/test_requests.py` holds the two together); what it doubts, it leaves.

use crate::config::{Config, Fate};

/// Longer heads are left to Python, whatever it accepts.
const LONGEST_HEAD: usize = 8192;
const MOST_LINES: usize = 64;
const LONGEST_ID: usize = 64;
const BLANK: &[u8] = b"\r\n\r\n";

/// A piece of the head, by its place in it.
pub type Span = (u32, u32);

/// A plain GET, by the places of its parts in the head.
#[derive(Default)]
pub struct Request {
    /// Bytes of the head, its blank line included.
    pub length: usize,
    /// The path.
    pub path: Span,
    /// The query with its `?`; empty without one.
    pub query: Span,
    /// The Host header as sent.
    pub authority: Span,
    /// How much of it is the name.
    pub host_length: u32,
    /// The API key.
    pub api_key: Option<Span>,
    /// The Authorization header, which travels on too.
    pub authorization: Option<Span>,
    /// The client's own request id.
    pub id: Option<Span>,
    /// Header lines that travel on as they are: name and value.
    pub kept: Vec<(Span, Span)>,
}

/// The bytes of *span* in *head*.
pub fn at(head: &[u8], span: Span) -> &[u8] {
    &head[span.0 as usize..span.1 as usize]
}

fn span(start: usize, end: usize) -> Span {
    (start as u32, end as u32)
}

/// Read `input` into `request`; `None` when Python is to read it: it is not whole, not alone, or
/// not plain.
pub fn read(input: &[u8], config: &Config, request: &mut Request) -> Option<()> {
    // Every scan below stops at a CR at the latest, so none runs past this end.
    if input.len() > LONGEST_HEAD.min(config.longest_head) || !input.ends_with(BLANK) {
        return None;
    }
    request.length = input.len();
    request.kept.clear();
    request.api_key = None;
    request.authorization = None;
    request.id = None;
    let mut place = read_line(input, request)?;
    if (request.query.1 - request.path.0) as usize > config.longest_target {
        return None;
    }
    let mut lines = 0;
    let mut hosts = 0;
    while &input[place..] != b"\r\n" {
        let (name, value, next) = header_line(input, place)?;
        place = next;
        lines += 1;
        if lines > MOST_LINES {
            return None;
        }
        match config.names.request_fate(at(input, name)) {
            Fate::Kept => request.kept.push((name, value)),
            Fate::Dropped => {}
            Fate::Host => {
                hosts += 1;
                request.authority = value;
            }
            Fate::Connection if at(input, value).eq_ignore_ascii_case(b"keep-alive") => {}
            Fate::ApiKey if request.api_key.is_none() => request.api_key = Some(value),
            Fate::Authorization if request.authorization.is_none() => {
                request.authorization = Some(value);
                request.kept.push((name, value));
            }
            Fate::RequestId if request.id.is_none() && is_plain_id(at(input, value)) => {
                request.id = Some(value)
            }
            _ => return None,
        }
    }
    if hosts != 1 {
        return None;
    }
    request.host_length = host_length(at(input, request.authority))?;
    Some(())
}

fn read_line(input: &[u8], request: &mut Request) -> Option<usize> {
    let target = 4;
    if !input.starts_with(b"GET /") {
        return None;
    }
    let mut place = target;
    let mut segment = target + 1;
    while is_path_byte(input[place]) {
        if input[place] == b'/' {
            if place > target && !is_plain_segment(&input[segment..place]) {
                return None;
            }
            segment = place + 1;
        }
        place += 1;
    }
    let last = &input[segment..place];
    if !last.is_empty() && !is_plain_segment(last) {
        return None;
    }
    request.path = span(target, place);
    let query = place;
    if input[place] == b'?' {
        place += 1;
        while is_query_byte(input[place]) {
            place += 1;
        }
    }
    request.query = span(query, place);
    let end = b" HTTP/1.1\r\n";
    input[place..].starts_with(end).then_some(place + end.len())
}

fn is_plain_segment(segment: &[u8]) -> bool {
    !matches!(segment, b"" | b"." | b"..")
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/')
}

fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte)
        || matches!(
            byte,
            b'=' | b'&'
                | b'%'
                | b'+'
                | b','
                | b':'
                | b'@'
                | b';'
                | b'!'
                | b'$'
                | b'*'
                | b'\''
                | b'('
                | b')'
        )
}

/// Name, value and the place of the next line. Every value is visible ASCII, space and tab.
pub fn header_line(input: &[u8], start: usize) -> Option<(Span, Span, usize)> {
    let mut place = start;
    while input[place].is_ascii_alphanumeric() || input[place] == b'-' {
        place += 1;
    }
    if place == start || input[place] != b':' {
        return None;
    }
    let name = span(start, place);
    place += 1;
    while matches!(input[place], b' ' | b'\t') {
        place += 1;
    }
    let value = place;
    while matches!(input[place], b' '..=b'~' | b'\t') {
        place += 1;
    }
    if input[place] != b'\r' || input[place + 1] != b'\n' {
        return None;
    }
    let mut end = place;
    while end > value && matches!(input[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    Some((name, span(value, end), place + 2))
}

/// How much of a Host header is the name: letters, digits, inner dots and hyphens, a port behind.
fn host_length(value: &[u8]) -> Option<u32> {
    let name = value.iter().position(|&byte| byte == b':').unwrap_or(value.len());
    let (host, port) = (&value[..name], &value[name..]);
    let inner =
        host.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let edges = [host.first()?, host.last()?].iter().all(|byte| byte.is_ascii_alphanumeric());
    let good_port = match port.len() {
        0 => true,
        2..=6 => {
            port[1..].iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(&port[1..]).ok()?.parse::<u32>().ok()? <= 65_535
        }
        _ => false,
    };
    (inner && edges && good_port && host.len() <= 253).then_some(name as u32)
}

/// What is a request id to everybody, and never looks like a credential to the log.
fn is_plain_id(value: &[u8]) -> bool {
    !value.is_empty()
        && value.len() <= LONGEST_ID
        && value.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'-'))
}
