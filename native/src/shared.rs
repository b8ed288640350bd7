//! Between the two threads: what Python tells the engine, what the engine tells Python, the ledger.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::codec::Writer;
use crate::ledger::Ledger;
use crate::sys::{ring, Bell};

/// What the engine tells Python; the first byte of the message.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Event {
    /// A client, with the bytes that came and those it did not take yet.
    Adopt = 1,
    /// A client with an exchange that is under way.
    Resume = 2,
    /// An instance that a connection is needed to.
    Need = 3,
    /// Redis is of no use any more.
    RedisLost = 4,
    /// Many lines wait.
    Lines = 5,
    /// Everything is handed over.
    Ended = 6,
}

/// See the module.
pub struct Shared {
    /// Rung for the engine.
    pub bell: Bell,
    python: i32,
    commands: Mutex<Vec<Vec<u8>>>,
    events: Mutex<VecDeque<Vec<u8>>>,
    ledger: Mutex<Ledger>,
    in_flight: AtomicI64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// With Python's doorbell.
    pub fn new(python: i32) -> std::io::Result<Shared> {
        Ok(Shared {
            bell: Bell::new()?,
            python,
            commands: Mutex::default(),
            events: Mutex::default(),
            ledger: Mutex::default(),
            in_flight: AtomicI64::new(0),
        })
    }

    /// Python says something.
    pub fn command(&self, command: Vec<u8>) {
        locked(&self.commands).push(command);
        self.bell.ring();
    }

    /// What Python has said.
    pub fn commands(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *locked(&self.commands))
    }

    /// Tell Python.
    pub fn tell(&self, event: Event, message: Writer) {
        debug_assert_eq!(message.0[0], event as u8);
        let mut events = locked(&self.events);
        events.push_back(message.0);
        if events.len() == 1 {
            ring(self.python);
        }
    }

    /// What the engine told first.
    pub fn event(&self) -> Option<Vec<u8>> {
        locked(&self.events).pop_front()
    }

    /// An exchange begins.
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// An exchange has ended, or is Python's.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        locked(&self.ledger)
    }

    /// Whether Python should fetch the lines soon.
    pub fn has_many_lines(&self) -> bool {
        self.ledger().is_full()
    }

    /// What waits in the ledger: see there.
    pub fn fold(&self, whole: bool) -> Vec<u8> {
        let mut ledger = self.ledger();
        ledger.in_flight = self.in_flight.load(Ordering::Relaxed);
        ledger.fold(whole)
    }
}
