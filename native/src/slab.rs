//! Things by number; a number that was given back means nothing, even when it is used again.

/// Which of the kinds of descriptors a token is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A client's connection.
    Client,
    /// A connection to an upstream.
    Upstream,
    /// A socket that accepts.
    Listener,
    /// The doorbell.
    Bell,
    /// Redis.
    Redis,
}

const KINDS: [Kind; 5] = [Kind::Client, Kind::Upstream, Kind::Listener, Kind::Bell, Kind::Redis];
const GENERATIONS: u32 = 1 << 24;

/// A token for one of `kind` at `index`.
pub fn token(kind: Kind, generation: u32, index: u32) -> u64 {
    (kind as u64) << 56 | u64::from(generation) << 32 | u64::from(index)
}

/// What a token is of.
pub fn kind(token: u64) -> Kind {
    KINDS[(token >> 56) as usize]
}

/// A place for each thing.
pub struct Slab<T> {
    kind: Kind,
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty one.
    pub fn of(kind: Kind) -> Slab<T> {
        Slab { kind, places: Vec::new(), free: Vec::new() }
    }

    /// Put something in; its token.
    pub fn insert(&mut self, thing: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.1 = Some(thing);
        token(self.kind, place.0, index)
    }

    /// What the token is of, if it is still there.
    pub fn get(&mut self, token: u64) -> Option<&mut T> {
        let (generation, thing) = self.places.get_mut(token as u32 as usize)?;
        if (token >> 32) as u32 & (GENERATIONS - 1) == *generation {
            thing.as_mut()
        } else {
            None
        }
    }

    /// Take it out.
    pub fn remove(&mut self, token: u64) -> Option<T> {
        self.get(token)?;
        let place = &mut self.places[token as u32 as usize];
        place.0 = (place.0 + 1) % GENERATIONS;
        self.free.push(token as u32);
        place.1.take()
    }

    /// Every token of which `which` is true.
    pub fn tokens(&self, mut which: impl FnMut(&T) -> bool) -> Vec<u64> {
        let found = self.places.iter().enumerate().filter_map(|(index, (generation, thing))| {
            let wanted = thing.as_ref().is_some_and(&mut which);
            wanted.then(|| token(self.kind, *generation, index as u32))
        });
        found.collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }
}
