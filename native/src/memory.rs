//! What Python has taught the engine: routes by path, callers by credential, instances by service.
//!
//! Nothing here is decided by the engine: an entry says how Python served such a request a moment
//! ago under the same revision. Credentials are remembered by two keyed digests, not by themselves.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::rc::Rc;

use crate::codec::Reader;
use crate::counters::{row, Outcomes};
use crate::sys::Row;

/// Paths and callers remembered; where there are more, all are forgotten.
const MOST: usize = 131_072;

/// A route, and its service, for one revision. Texts in JSON are quoted.
pub struct Plan {
    /// Number of the route among those taught.
    pub id: u32,
    /// Number of the service.
    pub service: u32,
    /// Whether the client's Host is passed on.
    pub preserve_host: bool,
    /// Whether it matters who asks, and from where.
    pub asks_who: bool,
    /// Seconds for the head of an answer.
    pub first_byte: f64,
    /// Seconds to connect.
    pub connect: f64,
    /// Seconds after which an answer is slow; infinite where nobody asks.
    pub slow: f64,
    /// `"route":…,"service":…` of the request's line.
    pub line: Vec<u8>,
    /// What became of its requests.
    pub outcomes: Outcomes,
    /// Counts those that limits let pass.
    pub allowed: Row,
}

/// A path of a route.
pub struct Place {
    /// The route.
    pub plan: Rc<Plan>,
    /// The path for the upstream.
    pub target: Box<[u8]>,
}

/// One limit of a caller, as the script in Redis takes it (quotas/bucket.py).
#[derive(PartialEq, Eq, Hash)]
pub struct Rule {
    /// Key of its bucket, with the prefix.
    pub key: Vec<u8>,
    /// Units refilled in a tick; what the client is told too.
    pub limit: i64,
    /// Units in a full bucket.
    pub full: i64,
    /// Units a request takes.
    pub price: i64,
    /// Microseconds of a tick.
    pub tick: i64,
    /// Units in a token.
    pub token: i64,
}

/// A caller of a route. There may be a hundred thousand: what several have in common is kept once.
pub struct Grant {
    /// Number of the account its requests are counted for; 0 for none.
    pub account: u32,
    /// Whether somebody is known by it, whose key has to have been confirmed of late.
    pub keyed: bool,
    /// Number of that key; 0 for none.
    pub key: u64,
    /// Engine's time until which it is good.
    pub until: f64,
    /// Header lines that tell the upstream who calls.
    pub identity: Rc<[u8]>,
    /// `"user":…,"key":…` of the request's line.
    pub line: Box<[u8]>,
    /// What is spent.
    pub rules: Rc<[Rule]>,
}

/// Where a service runs.
#[derive(Default)]
pub struct Service {
    turns: Vec<Turn>,
}

/// An instance that may be asked, and when its turn is.
struct Turn {
    instance: Rc<Instance>,
    weight: f64,
    current: f64,
}

/// An instance.
pub struct Instance {
    /// Its number.
    pub id: u32,
    /// Requests it takes at once.
    pub most: u32,
    /// Its Host header.
    pub authority: Vec<u8>,
    /// Its URL, quoted.
    pub line: Vec<u8>,
    /// What it has answered.
    pub outcomes: Outcomes,
}

impl Service {
    /// What a message says.
    pub fn read(message: &mut Reader) -> Service {
        let turns = message.list(|one| Turn {
            instance: Rc::new(Instance {
                id: one.u32(),
                most: one.u32(),
                authority: one.bytes(),
                line: one.bytes(),
                outcomes: Outcomes::read(one),
            }),
            weight: one.f64(),
            current: 0.0,
        });
        Service { turns }
    }

    /// The next one that has room, by smooth weighted round robin (nginx 52327e0).
    pub fn pick(&mut self, has_room: impl Fn(&Instance) -> bool) -> Option<Rc<Instance>> {
        let mut total = 0.0;
        let mut best: Option<usize> = None;
        for index in 0..self.turns.len() {
            let turn = &mut self.turns[index];
            if !has_room(&turn.instance) {
                continue;
            }
            turn.current += turn.weight;
            total += turn.weight;
            let current = turn.current;
            if best.is_none_or(|best| current > self.turns[best].current) {
                best = Some(index);
            }
        }
        let best = &mut self.turns[best?];
        best.current -= total;
        Some(best.instance.clone())
    }
}

/// Two keyed digests: what one client offered is never taken for what another one did.
type Mark = (u64, u64);

/// Everything remembered.
pub struct Memory {
    hashers: (RandomState, RandomState),
    plans: HashMap<u32, Rc<Plan>>,
    places: HashMap<Box<[u8]>, Rc<Place>>,
    grants: HashMap<Mark, Rc<Grant>>,
    identities: HashSet<Rc<[u8]>>,
    rules: HashSet<Rc<[Rule]>>,
    services: HashMap<u32, Service>,
    /// The revision it belongs to.
    pub revision: u32,
    /// Until when keys count as confirmed.
    pub confirmed_until: f64,
}

impl Memory {
    /// An empty one.
    pub fn empty() -> Memory {
        Memory {
            hashers: (RandomState::new(), RandomState::new()),
            plans: HashMap::new(),
            places: HashMap::new(),
            grants: HashMap::new(),
            identities: HashSet::new(),
            rules: HashSet::new(),
            services: HashMap::new(),
            revision: 0,
            confirmed_until: 0.0,
        }
    }

    /// Begin a revision: nothing of the last one counts.
    pub fn begin(&mut self, revision: u32) {
        self.revision = revision;
        self.plans.clear();
        self.places.clear();
        self.forget_callers();
    }

    /// Forget every caller.
    pub fn forget_callers(&mut self) {
        self.grants.clear();
        self.identities.clear();
        self.rules.clear();
    }

    /// Have `service` run where the message says.
    pub fn place_service(&mut self, service: u32, instances: Service) {
        self.services.insert(service, instances);
    }

    /// The service of that number.
    pub fn service(&mut self, service: u32) -> Option<&mut Service> {
        self.services.get_mut(&service)
    }

    /// Learn a route.
    pub fn learn_plan(&mut self, m: &mut Reader) {
        let plan = Plan {
            id: m.u32(),
            service: m.u32(),
            preserve_host: m.u8() == 1,
            asks_who: m.u8() == 1,
            first_byte: m.f64(),
            connect: m.f64(),
            slow: m.f64(),
            line: m.bytes(),
            outcomes: Outcomes::read(m),
            allowed: row(m),
        };
        self.plans.entry(plan.id).or_insert_with(|| Rc::new(plan));
    }

    /// Learn a path of a route.
    pub fn learn_place(&mut self, m: &mut Reader) {
        let (plan, host, path, target) = (m.u32(), m.bytes(), m.bytes(), m.bytes());
        let Some(plan) = self.plans.get(&plan).cloned() else {
            return;
        };
        if self.places.len() >= MOST {
            self.places.clear();
        }
        let mut key = Vec::new();
        place_key(&host, &path, &mut key);
        self.places.insert(key.into(), Rc::new(Place { plan, target: target.into() }));
    }

    /// Learn a caller of a route, good for some seconds from `now`.
    pub fn learn_grant(&mut self, m: &mut Reader, now: f64) {
        let plan = m.u32();
        let (client, api_key, authorization) = (m.bytes(), m.bytes(), m.bytes());
        if self.grants.len() >= MOST {
            self.forget_callers();
        }
        let grant = Grant {
            account: m.u32(),
            keyed: m.u8() == 1,
            key: m.i64() as u64,
            until: now + m.f64(),
            identity: one_of(&mut self.identities, m.bytes()),
            line: m.bytes().into(),
            rules: one_of(&mut self.rules, m.list(read_rule)),
        };
        let mark = self.mark(plan, &client, &api_key, &authorization);
        self.grants.insert(mark, Rc::new(grant));
    }

    /// The route of a path, if it is known.
    pub fn place(&self, key: &[u8]) -> Option<&Rc<Place>> {
        self.places.get(key)
    }

    /// The caller with these credentials, if known and good at `now`.
    pub fn grant(
        &self,
        plan: u32,
        client: &[u8],
        api_key: &[u8],
        authorization: &[u8],
        now: f64,
    ) -> Option<&Rc<Grant>> {
        let grant = self.grants.get(&self.mark(plan, client, api_key, authorization))?;
        let confirmed = !grant.keyed || now < self.confirmed_until;
        (confirmed && now < grant.until).then_some(grant)
    }

    fn mark(&self, plan: u32, client: &[u8], api_key: &[u8], authorization: &[u8]) -> Mark {
        let of = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            hasher.write_u32(plan);
            for part in [client, api_key, authorization] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        };
        (of(&self.hashers.0), of(&self.hashers.1))
    }
}

/// What a path is remembered by: the host's name in lower case, and the path.
pub fn place_key(host: &[u8], path: &[u8], key: &mut Vec<u8>) {
    key.clear();
    key.extend_from_slice(host);
    key.make_ascii_lowercase();
    key.push(0);
    key.extend_from_slice(path);
}

fn read_rule(m: &mut Reader) -> Rule {
    Rule {
        key: m.bytes(),
        limit: m.i64(),
        full: m.i64(),
        price: m.i64(),
        tick: m.i64(),
        token: m.i64(),
    }
}

/// `content` as it is kept once for all who have the same.
fn one_of<T: Eq + Hash>(kept: &mut HashSet<Rc<[T]>>, content: Vec<T>) -> Rc<[T]> {
    if let Some(same) = kept.get(&content[..]) {
        return same.clone();
    }
    let new: Rc<[T]> = content.into();
    kept.insert(new.clone());
    new
}
