//! Messages between Python and the engine: little-endian numbers, texts with their length before.

/// Reads a message; a message that is too short reads as zeros and empty texts.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        head
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0u8; N];
        let found = self.take(N);
        bytes[..found.len()].copy_from_slice(found);
        bytes
    }

    /// Whether there is more.
    pub fn more(&self) -> bool {
        !self.0.is_empty()
    }

    /// An unsigned byte.
    pub fn u8(&mut self) -> u8 {
        self.number::<1>()[0]
    }

    /// 32 bits.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.number())
    }

    /// 32 bits with a sign.
    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.number())
    }

    /// 64 bits with a sign.
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.number())
    }

    /// A double.
    pub fn f64(&mut self) -> f64 {
        f64::from_le_bytes(self.number())
    }

    /// Bytes with their length before.
    pub fn bytes(&mut self) -> Vec<u8> {
        let length = self.u32() as usize;
        self.take(length).to_vec()
    }

    /// A text; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// As many as a number before says.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.u32()).take_while(|_| true).map(|_| one(self)).collect()
    }
}

/// Writes a message.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A message of this kind.
    pub fn of(kind: u8) -> Writer {
        Writer(vec![kind])
    }

    /// An unsigned byte.
    pub fn u8(mut self, value: u8) -> Writer {
        self.0.push(value);
        self
    }

    /// 32 bits.
    pub fn u32(mut self, value: u32) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// 32 bits with a sign.
    pub fn i32(mut self, value: i32) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// 64 bits.
    pub fn u64(mut self, value: u64) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A double.
    pub fn f64(mut self, value: f64) -> Writer {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Bytes with their length before.
    pub fn bytes(mut self, value: &[u8]) -> Writer {
        self.0.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }
}
