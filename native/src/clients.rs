//! The connections of clients, and how far the exchange of each has come.

use crate::journey::{Asked, Journey};
use crate::request::Request;
use crate::sys::Fd;

/// A connection of a client.
pub struct Client {
    /// The socket.
    pub fd: Fd,
    /// The client's address.
    pub peer: String,
    /// The port it came to.
    pub port: u16,
    /// How often Python had to serve what cannot be learnt.
    pub returns: u32,
    /// What came of its request.
    pub input: Vec<u8>,
    /// What was read of that.
    pub request: Request,
    /// Where its exchange is.
    pub stage: Stage,
    /// More has come while an exchange runs.
    pub pending: bool,
    /// It has ended its side.
    pub ended: bool,
    /// It has not asked for anything yet.
    pub fresh: bool,
    /// Since when it is idle.
    pub idle_since: f64,
}

/// Where the exchange of a client is.
pub enum Stage {
    /// There is none.
    Idle,
    /// Its limits are being asked for.
    Spending(Journey),
    /// It waits for a connection to its instance.
    Connecting(Journey),
    /// It waits for its answer on this connection.
    Answering(Journey, u64),
}

impl Client {
    /// What it asks for.
    pub fn asked(&self) -> Asked<'_> {
        Asked { head: &self.input, request: &self.request, peer: &self.peer, port: self.port }
    }

    /// Until when its exchange may wait here.
    pub fn deadline(&self) -> f64 {
        match &self.stage {
            Stage::Connecting(journey) | Stage::Answering(journey, _) => journey.deadline,
            Stage::Idle | Stage::Spending(_) => f64::INFINITY,
        }
    }
}
