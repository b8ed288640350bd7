//! The engine: one thread that carries plain requests from socket to socket.
//!
//! It serves a request only while nothing about it is in doubt: a plain GET, a route and a caller
//! that Python taught it, limits that Redis allows, an instance with room, an answer that is plain
//! and here whole. Whatever is in doubt is handed to Python with everything it takes to go on: a
//! connection with the bytes that came, or an exchange with both of its sockets. So no failure, no
//! refusal and no policy is decided here. A connection comes back when Python has served what was
//! in doubt.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::{Client, Stage};
use crate::clock::Clock;
use crate::codec::{Reader, Writer};
use crate::config::Config;
use crate::journey::{Ids, Journey};
use crate::memory::{place_key, Grant, Memory, Place, Service};
use crate::redis::{Check, Redis};
use crate::request::{self, at, Request};
use crate::shared::{Event, Shared};
use crate::slab::{kind, token, Kind, Slab};
use crate::sys::{accept, Fd, Poll, Ready, BROKEN, PEER_ENDED};
use crate::upstreams::{Pool, Upstream};

const BUFFER: usize = 64 << 10;
const AT_ONCE: usize = 256;
const ACCEPTS: usize = 64;
/// Between two looks at what is overdue: as a rule, and at least.
const TICK: f64 = 0.05;
const SOONEST: f64 = 0.005;

/// What Python tells the engine: the first byte of the message (proxying/fastpath/messages.py).
mod command {
    pub const LISTEN: u8 = 1;
    pub const REVISION: u8 = 2;
    pub const LESSON: u8 = 3;
    pub const SERVICE: u8 = 4;
    pub const CONNECTED: u8 = 5;
    pub const RETURN: u8 = 6;
    pub const FORGET_CALLERS: u8 = 7;
    pub const CONFIRMED: u8 = 8;
    pub const REDIS: u8 = 9;
    pub const RETIRE: u8 = 10;
}

/// See the module.
pub struct Engine {
    pub(crate) config: Config,
    pub(crate) shared: Arc<Shared>,
    pub(crate) poll: Poll,
    pub(crate) clock: Clock,
    pub(crate) memory: Memory,
    pub(crate) clients: Slab<Client>,
    pub(crate) upstreams: Slab<Upstream>,
    listeners: Slab<(Fd, u16)>,
    pub(crate) pools: HashMap<u32, Pool>,
    redis: Option<Redis>,
    retiring: bool,
    /// When to look for what is overdue.
    pub(crate) next_look: f64,
    ids: Ids,
    pub(crate) buffer: Vec<u8>,
    pub(crate) output: Vec<u8>,
    key: Vec<u8>,
}

impl Engine {
    /// One that is to run on a thread of its own.
    pub fn new(config: Config, shared: Arc<Shared>) -> std::io::Result<Engine> {
        let poll = Poll::new()?;
        poll.watch_level(shared.bell.fd(), token(Kind::Bell, 0, 0))?;
        Ok(Engine {
            ids: Ids::new(config.process.clone(), config.seed),
            config,
            shared,
            poll,
            clock: Clock::start(),
            memory: Memory::empty(),
            clients: Slab::of(Kind::Client),
            upstreams: Slab::of(Kind::Upstream),
            listeners: Slab::of(Kind::Listener),
            pools: HashMap::new(),
            redis: None,
            retiring: false,
            next_look: 0.0,
            buffer: vec![0; BUFFER],
            output: Vec::new(),
            key: Vec::new(),
        })
    }

    /// Serve until told to retire.
    pub fn run(mut self) {
        let mut ready = [Ready { events: 0, token: 0 }; AT_ONCE];
        while !(self.retiring && self.clients.is_empty()) {
            let most = (self.next_look - self.clock.now).clamp(0.0, TICK);
            let events = self.poll.wait(&mut ready, (most * 1000.0).ceil() as i32);
            let now = self.clock.look();
            for event in events.iter().copied() {
                self.handle(event.token, event.events);
            }
            self.spend();
            if now >= self.next_look {
                self.sweep(now);
            }
        }
        self.shared.tell(Event::Ended, Writer::of(Event::Ended as u8));
    }

    fn handle(&mut self, token: u64, events: u32) {
        match kind(token) {
            Kind::Client => self.client_ready(token, events),
            Kind::Upstream => self.upstream_ready(token, events),
            Kind::Listener => self.accept(token),
            Kind::Bell => self.obey(),
            Kind::Redis => self.redis_ready(),
        }
    }

    // --- what Python says ---------------------------------------------------------------------

    fn obey(&mut self) {
        self.shared.bell.quiet();
        for command in self.shared.commands() {
            let mut m = Reader(&command);
            match m.u8() {
                command::LISTEN => self.listen(Fd::own(m.i32())),
                command::REVISION => self.memory.begin(m.u32()),
                command::LESSON if m.u32() == self.memory.revision => self.learn(&mut m),
                command::SERVICE => {
                    let service = m.u32();
                    self.memory.place_service(service, Service::read(&mut m));
                }
                command::CONNECTED => self.connected(m.u32(), m.i32()),
                command::RETURN => {
                    let (fd, returns) = (Fd::own(m.i32()), m.u32());
                    let (peer, port) = (fd.peer(), fd.port());
                    self.welcome(fd, peer, port, returns, false);
                }
                command::FORGET_CALLERS => self.memory.forget_callers(),
                command::CONFIRMED => self.memory.confirmed_until = self.clock.now + m.f64(),
                command::REDIS => self.use_redis(Fd::own(m.i32())),
                command::RETIRE => self.retire(),
                _ => {}
            }
        }
    }

    fn learn(&mut self, m: &mut Reader) {
        self.memory.learn_plan(m);
        self.memory.learn_place(m);
        self.memory.learn_grant(m, self.clock.now);
    }

    fn listen(&mut self, fd: Fd) {
        let port = fd.port();
        let token = self.listeners.insert((fd, port));
        if let Some((fd, _)) = self.listeners.get(token) {
            let _ = self.poll.watch_listener(fd, token);
        }
    }

    fn use_redis(&mut self, fd: Fd) {
        self.lose_redis(false);
        if self.poll.watch(&fd, token(Kind::Redis, 0, 0)).is_ok() {
            self.redis = Some(Redis::new(fd));
        }
    }

    fn retire(&mut self) {
        if self.retiring {
            return;
        }
        self.retiring = true;
        for token in self.listeners.tokens(|_| true) {
            self.listeners.remove(token);
        }
        for token in self.clients.tokens(|client| !matches!(client.stage, Stage::Spending(_))) {
            self.hand(token);
        }
        for token in self.upstreams.tokens(|upstream| upstream.client.is_none()) {
            self.drop_upstream(token);
        }
    }

    // --- clients ------------------------------------------------------------------------------

    fn accept(&mut self, token: u64) {
        for _ in 0..ACCEPTS {
            let Some((listener, port)) = self.listeners.get(token) else {
                return;
            };
            let port = *port;
            match accept(listener) {
                Ok((fd, peer)) => {
                    fd.no_delay();
                    self.welcome(fd, peer, port, 0, true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    // No descriptors, as a rule: whoever waits is asked for again at once.
                    std::thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, fd: Fd, peer: String, port: u16, returns: u32, fresh: bool) {
        let client = Client {
            fd,
            peer,
            port,
            returns,
            input: Vec::new(),
            request: Request::default(),
            stage: Stage::Idle,
            pending: false,
            ended: false,
            fresh,
            idle_since: self.clock.now,
        };
        let token = self.clients.insert(client);
        let Some(client) = self.clients.get(token) else {
            return;
        };
        if self.retiring || client.peer.is_empty() || self.poll.watch(&client.fd, token).is_err() {
            self.hand(token);
        }
    }

    fn client_ready(&mut self, token: u64, events: u32) {
        let Some(client) = self.clients.get(token) else {
            return;
        };
        if matches!(client.stage, Stage::Idle) {
            // A client that ends its side while it asks counts as gone; Python has the rules.
            client.ended = events & PEER_ENDED != 0;
            self.read_client(token);
        } else if events & (PEER_ENDED | BROKEN) != 0 {
            self.client_left(token);
        } else {
            client.pending = true;
        }
    }

    pub(crate) fn read_client(&mut self, token: u64) {
        let Some(client) = self.clients.get(token) else {
            return;
        };
        client.pending = false;
        client.fresh = false;
        match client.fd.receive(&mut self.buffer) {
            Ok(0) => drop(self.clients.remove(token)),
            Ok(count) => {
                client.input.extend_from_slice(&self.buffer[..count]);
                if client.ended {
                    self.hand(token)
                } else {
                    self.begin(token)
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => drop(self.clients.remove(token)),
        }
    }

    /// Begin an exchange, or let Python.
    fn begin(&mut self, token: u64) {
        let now = self.clock.now;
        if !self.is_plain(token) {
            self.hand_oddity(token);
            return;
        }
        match self.recall(token, now) {
            Some((place, grant)) => self.depart(token, place, grant, now),
            None => self.hand(token),
        }
    }

    /// Read what came; whether it is a plain request.
    fn is_plain(&mut self, token: u64) -> bool {
        let Some(client) = self.clients.get(token) else { return false };
        request::read(&client.input, &self.config, &mut client.request).is_some()
    }

    /// Give a client to Python for what cannot be learnt: after a few of those it stays there.
    fn hand_oddity(&mut self, token: u64) {
        if let Some(client) = self.clients.get(token) {
            client.returns += 1;
        }
        self.hand(token);
    }

    /// The route and the caller of a plain request, if both are known.
    fn recall(&mut self, token: u64, now: f64) -> Option<(Rc<Place>, Rc<Grant>)> {
        let client = self.clients.get(token)?;
        let (request, input) = (&client.request, &client.input);
        let host = &at(input, request.authority)[..request.host_length as usize];
        place_key(host, at(input, request.path), &mut self.key);
        let place = self.memory.place(&self.key)?;
        let part = |span: Option<request::Span>| span.map_or(&b""[..], |span| at(input, span));
        let grant = if place.plan.asks_who {
            let (api_key, authorization) = (part(request.api_key), part(request.authorization));
            self.memory.grant(place.plan.id, client.peer.as_bytes(), api_key, authorization, now)
        } else {
            self.memory.grant(place.plan.id, b"", b"", b"", now)
        };
        Some((place.clone(), grant?.clone()))
    }

    fn depart(&mut self, token: u64, place: Rc<Place>, grant: Rc<Grant>, now: f64) {
        let limited = !grant.rules.is_empty();
        let Some(client) = self.clients.get(token) else {
            return;
        };
        let journey = Journey {
            place,
            grant: grant.clone(),
            told: None,
            started: now,
            instance: None,
            sent: 0.0,
            deadline: f64::INFINITY,
            id: match client.request.id {
                Some(given) => at(&client.input, given).to_vec(),
                None => self.ids.request(),
            },
            trace: self.ids.trace(),
        };
        if !limited {
            self.shared.enter();
            self.forward(token, journey);
            return;
        }
        match &mut self.redis {
            Some(redis) => {
                redis.put(Check { client: token, grant });
                client.stage = Stage::Spending(journey);
                self.shared.enter();
            }
            None => self.hand(token),
        }
    }

    // --- limits -------------------------------------------------------------------------------

    fn spend(&mut self) {
        let now = self.clock.now;
        if self.redis.as_mut().is_some_and(|redis| redis.send(&self.config, now).is_err()) {
            self.lose_redis(true);
        }
    }

    fn redis_ready(&mut self) {
        let Some(redis) = &mut self.redis else { return };
        let Ok(answered) = redis.receive(&mut self.buffer) else {
            self.lose_redis(true);
            return;
        };
        for (check, told) in answered {
            let Some(client) = self.clients.get(check.client) else {
                continue;
            };
            match std::mem::replace(&mut client.stage, Stage::Idle) {
                Stage::Spending(mut journey) if told.is_some() && !self.retiring => {
                    journey.told = told;
                    self.forward(check.client, journey);
                }
                Stage::Spending(mut journey) => {
                    // Refused: nothing was taken, so Python may ask again and say so.
                    journey.told = told;
                    client.stage = Stage::Connecting(journey);
                    self.hand(check.client);
                }
                stage => client.stage = stage,
            }
        }
    }

    fn lose_redis(&mut self, tell: bool) {
        let Some(redis) = self.redis.take() else {
            return;
        };
        for check in redis.give_up() {
            self.hand(check.client);
        }
        if tell {
            self.shared.tell(Event::RedisLost, Writer::of(Event::RedisLost as u8));
        }
    }

    fn sweep(&mut self, now: f64) {
        let (first, idle) = (self.config.client_first, self.config.client_idle);
        let gone = |client: &Client| {
            let patience = if client.fresh { first } else { idle };
            matches!(client.stage, Stage::Idle) && now > client.idle_since + patience
        };
        for token in self.clients.tokens(gone) {
            self.clients.remove(token);
        }
        let mut next = now + TICK;
        let is_late = |client: &Client| {
            let deadline = client.deadline();
            if deadline > now {
                next = next.min(deadline);
            }
            deadline <= now
        };
        for token in self.clients.tokens(is_late) {
            self.hand(token);
        }
        self.next_look = next.max(now + SOONEST);
        let idle = self.config.upstream_idle;
        for token in
            self.upstreams.tokens(|one| one.client.is_none() && now > one.idle_since + idle)
        {
            self.drop_upstream(token);
        }
        let timeout = self.config.redis_timeout;
        if self.redis.as_ref().is_some_and(|redis| redis.is_overdue(now, timeout)) {
            self.lose_redis(true);
        }
        if self.shared.has_many_lines() {
            self.shared.tell(Event::Lines, Writer::of(Event::Lines as u8));
        }
    }
}
