//! What goes to Python: a connection with the bytes that came, or an exchange with both its sockets.

use crate::clients::{Client, Stage};
use crate::codec::Writer;
use crate::engine::Engine;
use crate::journey::{Ended, Journey};
use crate::redis::Told;
use crate::shared::Event;
use crate::upstreams::Upstream;

const GONE: u16 = 499;
const NOTHING: Told = Told { limit: 0, remaining: 0, reset: 0 };

impl Engine {
    /// Give a client to Python, with what it was about.
    pub(crate) fn hand(&mut self, token: u64) {
        self.hand_with(token, b"");
    }

    /// The same, with bytes that the client has yet to take.
    pub(crate) fn hand_with(&mut self, token: u64, unsent: &[u8]) {
        let Some(mut client) = self.clients.remove(token) else { return };
        self.poll.forget(&client.fd);
        match self.end_here(&mut client) {
            (Some(journey), upstream) if journey.told.is_some() || upstream.is_some() => {
                self.tell_resume(client, journey, upstream);
            }
            _ => {
                let m = Writer::of(Event::Adopt as u8).i32(client.fd.give()).u32(client.returns);
                self.shared.tell(Event::Adopt, m.bytes(&client.input).bytes(unsent));
            }
        }
    }

    /// The client has left: what is done for it ends.
    pub(crate) fn client_left(&mut self, token: u64) {
        let Some(mut client) = self.clients.remove(token) else { return };
        if let (Some(journey), _) = self.end_here(&mut client) {
            let ended = Ended { status: GONE, size: 0, answered_in: None };
            let mut ledger = self.shared.ledger();
            journey.record(&client.asked(), ended, &mut ledger, &mut self.clock, &self.config);
        }
    }

    /// The exchange of a client that was taken out, and the connection it is on, which is too.
    fn end_here(&mut self, client: &mut Client) -> (Option<Journey>, Option<Upstream>) {
        let (journey, upstream) = match std::mem::replace(&mut client.stage, Stage::Idle) {
            Stage::Idle => return (None, None),
            Stage::Spending(journey) | Stage::Connecting(journey) => (journey, None),
            Stage::Answering(journey, upstream) => (journey, Some(upstream)),
        };
        self.shared.leave();
        if let Some(instance) = &journey.instance {
            self.config.loads.leave(instance.id);
        }
        (Some(journey), upstream.and_then(|token| self.take_upstream(token)))
    }

    fn tell_resume(&self, client: Client, journey: Journey, upstream: Option<Upstream>) {
        let now = self.clock.now;
        let told = journey.told.unwrap_or(NOTHING);
        let m = Writer::of(Event::Resume as u8)
            .i32(client.fd.give())
            .u32(client.returns)
            .bytes(&client.input)
            .bytes(&journey.id)
            .bytes(&journey.trace)
            .f64(now - journey.started)
            .u32(journey.grant.account)
            .u8(u8::from(journey.told.is_some()))
            .u64(told.limit as u64)
            .u64(told.remaining as u64)
            .u64(told.reset as u64);
        let m = match upstream {
            Some(upstream) => m
                .i32(upstream.fd.give())
                .u32(upstream.instance)
                .f64(now - journey.sent)
                .u8(u8::from(upstream.used))
                .bytes(&upstream.input),
            None => m.i32(-1).u32(0).f64(0.0).u8(0).bytes(b""),
        };
        self.shared.tell(Event::Resume, m);
    }
}
