//! The engine's side towards instances: which is asked, on which connection, and what comes back.

use std::collections::VecDeque;
use std::io::ErrorKind;

use crate::answer::{Answer, Progress};
use crate::clients::{Client, Stage};
use crate::codec::Writer;
use crate::engine::Engine;
use crate::journey::{Asked, Ended, Journey};
use crate::shared::Event;
use crate::sys::{Fd, BROKEN, PEER_ENDED};

/// So much before its time is up a request goes to Python, which knows what that means.
const MARGIN: f64 = 0.005;
/// So long an answer may be on its way; a slower one is passed on by Python as it comes.
const PATIENCE: f64 = 0.02;
const MOST_WAITING: usize = 1024;

/// A connection to an instance.
pub struct Upstream {
    /// The socket.
    pub fd: Fd,
    /// Whose it is.
    pub instance: u32,
    /// The client it carries an exchange of.
    pub client: Option<u64>,
    /// Whether it has carried one before.
    pub used: bool,
    /// Whether its other end has.
    pub ended: bool,
    /// What came of the answer.
    pub input: Vec<u8>,
    /// What was read of that.
    pub answer: Answer,
    /// Since when it is idle.
    pub idle_since: f64,
}

/// The connections to one instance.
#[derive(Default)]
pub struct Pool {
    idle: Vec<u64>,
    /// Busy and idle ones.
    open: usize,
    /// Those that Python is making.
    asked: usize,
    /// Clients that wait for one.
    waiting: VecDeque<u64>,
}

impl Engine {
    /// Find an instance and a connection to it; the exchange waits for one, or goes to Python.
    pub(crate) fn forward(&mut self, client: u64, mut journey: Journey) {
        let loads = &self.config.loads;
        let service = self.memory.service(journey.plan().service);
        journey.instance =
            service.and_then(|service| service.pick(|one| loads.of(one.id) < one.most));
        let Some(instance) = journey.instance.as_ref().map(|instance| instance.id) else {
            self.set_stage(client, Stage::Connecting(journey));
            self.hand(client);
            return;
        };
        loads.enter(instance);
        journey.deadline = self.clock.now + journey.plan().connect;
        self.set_stage(client, Stage::Connecting(journey));
        while let Some(upstream) = self.pools.entry(instance).or_default().idle.pop() {
            if self.send(client, upstream) {
                return;
            }
        }
        self.wait(client, instance);
    }

    fn set_stage(&mut self, client: u64, stage: Stage) {
        if let Some(client) = self.clients.get(client) {
            client.stage = stage;
        }
    }

    fn wait(&mut self, client: u64, instance: u32) {
        let pool = self.pools.entry(instance).or_default();
        if pool.waiting.len() >= MOST_WAITING {
            self.hand(client);
            return;
        }
        pool.waiting.push_back(client);
        self.ask_for_connections(instance);
    }

    fn ask_for_connections(&mut self, instance: u32) {
        let pool = self.pools.entry(instance).or_default();
        while pool.asked < pool.waiting.len()
            && pool.open + pool.asked < self.config.most_connections
        {
            pool.asked += 1;
            self.shared.tell(Event::Need, Writer::of(Event::Need as u8).u32(instance));
        }
    }

    /// A connection to an instance is gone, here at least.
    fn closed(&mut self, instance: u32) {
        let pool = self.pools.entry(instance).or_default();
        pool.open = pool.open.saturating_sub(1);
        self.ask_for_connections(instance);
    }

    /// Python has connected to an instance, or could not.
    pub(crate) fn connected(&mut self, instance: u32, raw: i32) {
        let pool = self.pools.entry(instance).or_default();
        pool.asked = pool.asked.saturating_sub(1);
        if raw < 0 {
            if let Some(client) = pool.waiting.pop_front() {
                self.hand(client);
            }
            return;
        }
        let upstream = Upstream {
            fd: Fd::own(raw),
            instance,
            client: None,
            used: false,
            ended: false,
            input: Vec::new(),
            answer: Answer::default(),
            idle_since: self.clock.now,
        };
        pool.open += 1;
        let token = self.upstreams.insert(upstream);
        let watched = match self.upstreams.get(token) {
            Some(upstream) => self.poll.watch(&upstream.fd, token).is_ok(),
            None => false,
        };
        if watched {
            self.release(token)
        } else {
            self.drop_upstream(token)
        }
    }

    /// Send a client's request on a connection; `false`: that is of no use, and gone.
    fn send(&mut self, client_token: u64, upstream_token: u64) -> bool {
        let Some(upstream) = self.upstreams.get(upstream_token) else {
            return false;
        };
        if upstream.used && !upstream.fd.is_silent() {
            // It has ended, or what came behind its last answer would be taken for the next one.
            self.drop_upstream(upstream_token);
            return false;
        }
        let Some(client) = self.clients.get(client_token) else {
            return false;
        };
        let Stage::Connecting(journey) = &mut client.stage else {
            return false;
        };
        let asked = Asked {
            head: &client.input,
            request: &client.request,
            peer: &client.peer,
            port: client.port,
        };
        journey.write_request(&asked, &self.config, &mut self.output);
        match upstream.fd.send(&self.output) {
            Ok(sent) if sent == self.output.len() => {}
            _ => {
                self.drop_upstream(upstream_token);
                return false;
            }
        }
        upstream.client = Some(client_token);
        upstream.input.clear();
        upstream.answer.clear();
        let now = self.clock.now;
        journey.sent = now;
        journey.deadline = now + journey.plan().first_byte - MARGIN;
        if let Stage::Connecting(journey) = std::mem::replace(&mut client.stage, Stage::Idle) {
            client.stage = Stage::Answering(journey, upstream_token);
        }
        true
    }

    pub(crate) fn upstream_ready(&mut self, token: u64, events: u32) {
        let Some(upstream) = self.upstreams.get(token) else {
            return;
        };
        upstream.ended |= events & (PEER_ENDED | BROKEN) != 0;
        let Some(client) = upstream.client else {
            // Its end, or a byte nobody asked for.
            if !matches!(upstream.fd.receive(&mut self.buffer[..1]), Err(error) if error.kind() == ErrorKind::WouldBlock)
            {
                self.drop_upstream(token);
            }
            return;
        };
        loop {
            match upstream.fd.receive(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Ok(count) if count > 0 => {
                    upstream.input.extend_from_slice(&self.buffer[..count]);
                    if count < self.buffer.len() {
                        break;
                    }
                }
                _ if upstream.input.is_empty() && upstream.used => {
                    // It was closed while it was idle: nothing of the request was worked on.
                    self.abandon(client, token);
                    return;
                }
                _ => {
                    self.hand(client);
                    return;
                }
            }
        }
        match upstream.answer.read(&upstream.input, &self.config) {
            // Its end came with what was read last: there will be no other event.
            Progress::Partial if upstream.ended => self.hand(client),
            Progress::Partial => self.wait_for_rest(client),
            Progress::Whole => self.finish(client, token),
            Progress::Doubtful => self.hand(client),
        }
    }

    /// An answer has begun; Python has it soon unless the rest is here by then.
    fn wait_for_rest(&mut self, client: u64) {
        let due = self.clock.now + PATIENCE;
        if let Some(Client { stage: Stage::Answering(journey, _), .. }) = self.clients.get(client) {
            journey.deadline = journey.deadline.min(due);
            self.next_look = self.next_look.min(journey.deadline);
        }
    }

    /// The exchange goes to Python, to be sent anew.
    fn abandon(&mut self, client_token: u64, upstream: u64) {
        if let Some(client) = self.clients.get(client_token) {
            if let Stage::Answering(journey, _) = std::mem::replace(&mut client.stage, Stage::Idle)
            {
                client.stage = Stage::Connecting(journey);
            }
        }
        self.drop_upstream(upstream);
        self.hand(client_token);
    }

    /// Pass the whole answer on.
    fn finish(&mut self, client_token: u64, upstream_token: u64) {
        let now = self.clock.now;
        let Some(client) = self.clients.get(client_token) else {
            return;
        };
        let Some(upstream) = self.upstreams.get(upstream_token) else {
            return;
        };
        let Stage::Answering(journey, _) = std::mem::replace(&mut client.stage, Stage::Idle) else {
            return;
        };
        journey.write_answer(
            &upstream.answer,
            &upstream.input,
            &self.config,
            &mut self.clock,
            &mut self.output,
        );
        let sent = client.fd.send(&self.output).unwrap_or(0);
        let status = upstream.answer.status;
        let size = upstream.answer.size;
        self.config.loads.leave(upstream.instance);
        self.shared.leave();
        let ended = Ended { status, size, answered_in: Some(now - journey.sent) };
        let mut ledger = self.shared.ledger();
        journey.record(&client.asked(), ended, &mut ledger, &mut self.clock, &self.config);
        drop(ledger);
        client.input.clear();
        client.idle_since = now;
        let pending = client.pending;
        let left = self.output[sent..].to_vec();
        self.release(upstream_token);
        if !left.is_empty() {
            self.hand_with(client_token, &left);
        } else if pending {
            self.read_client(client_token);
        }
    }

    /// A connection is free: for the first who waits, else idle.
    fn release(&mut self, token: u64) {
        let Some(upstream) = self.upstreams.get(token) else {
            return;
        };
        if upstream.ended {
            self.drop_upstream(token);
            return;
        }
        upstream.used = upstream.client.take().is_some() || upstream.used;
        upstream.input.clear();
        upstream.answer.clear();
        upstream.idle_since = self.clock.now;
        let instance = upstream.instance;
        while let Some(client) = self.pools.entry(instance).or_default().waiting.pop_front() {
            let waits = self
                .clients
                .get(client)
                .is_some_and(|client| matches!(client.stage, Stage::Connecting(_)));
            if waits {
                if !self.send(client, token) {
                    self.wait(client, instance);
                }
                return;
            }
        }
        self.pools.entry(instance).or_default().idle.push(token);
    }

    /// Take a connection out, for Python; one that is idle is not asked for.
    pub(crate) fn take_upstream(&mut self, token: u64) -> Option<Upstream> {
        let upstream = self.upstreams.remove(token)?;
        self.poll.forget(&upstream.fd);
        self.closed(upstream.instance);
        Some(upstream)
    }

    pub(crate) fn drop_upstream(&mut self, token: u64) {
        let Some(upstream) = self.upstreams.remove(token) else { return };
        let pool = self.pools.entry(upstream.instance).or_default();
        pool.idle.retain(|&idle| idle != token);
        self.closed(upstream.instance);
    }
}
