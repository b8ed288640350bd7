//! Reading an answer that the fast path may pass on, and the head the client gets of it.
//!
//! As with requests: the plainest form, to the byte. Everything else, Python reads.

use crate::config::{Config, Fate};
use crate::request::{at, header_line, Span};

const LONGEST_HEAD: usize = 16384;
const LINE: &[u8] = b"HTTP/1.1 ";

/// What is known of an answer that has come so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More has to come.
    Partial,
    /// It is here whole.
    Whole,
    /// Python is to read it.
    Doubtful,
}

/// A plain answer, by the places of its parts.
#[derive(Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Where its body begins.
    pub head: usize,
    /// Bytes of its body.
    pub size: usize,
    /// Whether the upstream said when.
    pub dated: bool,
    lines: Vec<(Span, Span)>,
    limits: Vec<usize>,
}

impl Answer {
    /// Read what has come.
    pub fn read(&mut self, input: &[u8], config: &Config) -> Progress {
        if self.head == 0 {
            let Some(head) = end_of_head(input) else {
                let plain = input.len() <= LONGEST_HEAD
                    && LINE.starts_with(&input[..input.len().min(LINE.len())]);
                return if plain { Progress::Partial } else { Progress::Doubtful };
            };
            if head > LONGEST_HEAD || self.read_head(&input[..head], config).is_none() {
                return Progress::Doubtful;
            }
            self.head = head;
        }
        match input.len().cmp(&(self.head + self.size)) {
            std::cmp::Ordering::Less => Progress::Partial,
            std::cmp::Ordering::Equal => Progress::Whole,
            std::cmp::Ordering::Greater => Progress::Doubtful,
        }
    }

    /// Forget it.
    pub fn clear(&mut self) {
        self.head = 0;
        self.lines.clear();
        self.limits.clear();
        self.dated = false;
    }

    fn read_head(&mut self, head: &[u8], config: &Config) -> Option<()> {
        let rest = head.strip_prefix(LINE)?;
        let digits = rest.get(..3)?;
        if !digits.iter().all(u8::is_ascii_digit) || !matches!(rest.get(3)?, b' ' | b'\r') {
            return None;
        }
        self.status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        config.status_lines.get(&self.status)?;
        let mut place = LINE.len() + 3;
        while matches!(head[place], b' '..=b'~') {
            place += 1;
        }
        if head[place] != b'\r' || head[place + 1] != b'\n' {
            return None;
        }
        place += 2;
        let mut size = None;
        while &head[place..] != b"\r\n" {
            let (name, value, next) = header_line(head, place)?;
            place = next;
            match config.names.answer_fate(at(head, name)) {
                Fate::Kept => self.lines.push((name, value)),
                Fate::Dropped => {}
                Fate::Date => {
                    self.dated = true;
                    self.lines.push((name, value));
                }
                Fate::RateLimit => {
                    self.limits.push(self.lines.len());
                    self.lines.push((name, value));
                }
                Fate::ContentLength if size.is_none() => {
                    size = Some(number(at(head, value))?);
                    self.lines.push((name, value));
                }
                Fate::Connection if at(head, value).eq_ignore_ascii_case(b"keep-alive") => {}
                _ => return None,
            }
        }
        self.size = size.filter(|&size| size <= config.largest_body)?;
        Some(())
    }

    /// The head for the client, but for its end and what the gateway adds; `limited`: with limits of
    /// our own, which replace the upstream's.
    pub fn write_head(&self, input: &[u8], config: &Config, limited: bool, output: &mut Vec<u8>) {
        output.extend_from_slice(&config.status_lines[&self.status]);
        output.extend_from_slice(b"\r\n");
        for (index, &(name, value)) in self.lines.iter().enumerate() {
            if limited && self.limits.contains(&index) {
                continue;
            }
            write_line(at(input, name), at(input, value), output);
        }
    }
}

/// One header line, its name in lower case.
pub fn write_line(name: &[u8], value: &[u8], output: &mut Vec<u8>) {
    let start = output.len();
    output.extend_from_slice(name);
    output[start..].make_ascii_lowercase();
    output.extend_from_slice(b": ");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

fn end_of_head(input: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        place += input.get(place..)?.iter().position(|&byte| byte == b'\n')? + 1;
        if input.get(place..place + 2)? == b"\r\n" {
            return (place >= 2 && input[place - 2] == b'\r').then_some(place + 2);
        }
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if !(1..=9).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0')))
}
