//! The system calls the engine lives on. All of `unsafe` but the C ABI is in here.

use std::io;
use std::os::raw::{c_int, c_void};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Something to read.
pub const READ: u32 = 0x001;
/// Room to write, an error or a hang-up.
const WRITE: u32 = 0x004;
/// The peer has ended its side.
pub const PEER_ENDED: u32 = 0x2000;
/// An error or a full hang-up.
pub const BROKEN: u32 = 0x008 | 0x010;
const EXCLUSIVE: u32 = 1 << 28;
const EDGE: u32 = 1 << 31;

const ADD: c_int = 1;
const DELETE: c_int = 2;
const CLOSE_ON_EXEC: c_int = 0o2000000;
const NON_BLOCKING: c_int = 0o4000;
const NO_SIGNAL: c_int = 0x4000;
const TCP: c_int = 6;
const NO_DELAY: c_int = 1;

/// One event of a poll: what happened, and the token of where.
#[repr(C, packed)]
#[derive(Clone, Copy)]
pub struct Ready {
    /// Flags of what happened.
    pub events: u32,
    /// What it was registered with.
    pub token: u64,
}

#[repr(C)]
struct SocketAddress {
    family: u16,
    content: [u8; 126],
}

extern "C" {
    fn epoll_create1(flags: c_int) -> c_int;
    fn epoll_ctl(ep: c_int, op: c_int, fd: c_int, event: *mut Ready) -> c_int;
    fn epoll_wait(ep: c_int, events: *mut Ready, most: c_int, timeout: c_int) -> c_int;
    fn accept4(fd: c_int, addr: *mut SocketAddress, len: *mut u32, flags: c_int) -> c_int;
    fn getsockname(fd: c_int, addr: *mut SocketAddress, len: *mut u32) -> c_int;
    fn getpeername(fd: c_int, addr: *mut SocketAddress, len: *mut u32) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
    fn recv(fd: c_int, buffer: *mut c_void, len: usize, flags: c_int) -> isize;
    fn send(fd: c_int, buffer: *const c_void, len: usize, flags: c_int) -> isize;
    fn read(fd: c_int, buffer: *mut c_void, len: usize) -> isize;
    fn write(fd: c_int, buffer: *const c_void, len: usize) -> isize;
    fn eventfd(initial: u32, flags: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
}

/// A descriptor that is closed when dropped, unless given away.
#[derive(Debug)]
pub struct Fd(c_int);

impl Fd {
    /// Take over `raw`, which nobody else closes.
    pub fn own(raw: c_int) -> Fd {
        Fd(raw)
    }

    /// The number, still owned here.
    pub fn raw(&self) -> c_int {
        self.0
    }

    /// The number; whoever takes it closes it.
    pub fn give(self) -> c_int {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    /// Bytes into `buffer`; `Ok(0)` is the end. Never blocks.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the buffer is valid for its length.
        checked(unsafe {
            recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), NON_BLOCKING_CALL)
        })
    }

    /// Whether nothing is here to be received, not even the end.
    pub fn is_silent(&self) -> bool {
        let mut byte = 0u8;
        let flags = NON_BLOCKING_CALL | PEEK;
        // SAFETY: the buffer is one byte.
        let result = checked(unsafe { recv(self.0, (&mut byte as *mut u8).cast(), 1, flags) });
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Send as much of `data` as there is room for. Never blocks, raises no signal.
    pub fn send(&self, data: &[u8]) -> io::Result<usize> {
        // SAFETY: the data is valid for its length.
        checked(unsafe {
            send(self.0, data.as_ptr().cast(), data.len(), NO_SIGNAL | NON_BLOCKING_CALL)
        })
    }

    /// The port this end is bound to.
    pub fn port(&self) -> u16 {
        let (mut address, mut len) = blank();
        // SAFETY: address and len describe one buffer.
        if unsafe { getsockname(self.0, &mut address, &mut len) } < 0 {
            return 0;
        }
        u16::from_be_bytes([address.content[0], address.content[1]])
    }

    /// The address of the other end as text, empty when it has none.
    pub fn peer(&self) -> String {
        let (mut address, mut len) = blank();
        // SAFETY: address and len describe one buffer.
        if unsafe { getpeername(self.0, &mut address, &mut len) } < 0 {
            return String::new();
        }
        text_of(&address)
    }

    /// Send small pieces at once.
    pub fn no_delay(&self) {
        let on: c_int = 1;
        // SAFETY: the value is a C int.
        unsafe { setsockopt(self.0, TCP, NO_DELAY, (&on as *const c_int).cast(), 4) };
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is owned.
        unsafe { close(self.0) };
    }
}

const NON_BLOCKING_CALL: c_int = 0x40;
const PEEK: c_int = 0x02;

fn blank() -> (SocketAddress, u32) {
    (SocketAddress { family: 0, content: [0; 126] }, 128)
}

fn text_of(address: &SocketAddress) -> String {
    let content = &address.content;
    match address.family {
        2 => std::net::Ipv4Addr::new(content[2], content[3], content[4], content[5]).to_string(),
        10 => {
            let mut octets = [0u8; 16];
            octets.copy_from_slice(&content[6..22]);
            std::net::Ipv6Addr::from(octets).to_string()
        }
        _ => String::new(),
    }
}

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Accept one connection, not blocking, and where it comes from.
pub fn accept(listener: &Fd) -> io::Result<(Fd, String)> {
    let (mut address, mut len) = blank();
    // SAFETY: address and len describe one buffer.
    let fd = unsafe { accept4(listener.0, &mut address, &mut len, CLOSE_ON_EXEC | NON_BLOCKING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((Fd(fd), text_of(&address)))
}

/// An epoll instance.
pub struct Poll(Fd);

impl Poll {
    /// A new one.
    pub fn new() -> io::Result<Poll> {
        // SAFETY: no pointers.
        let fd = unsafe { epoll_create1(CLOSE_ON_EXEC) };
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Poll(Fd(fd)))
        }
    }

    /// Say once whenever something changes on a connection: more to read, or its end.
    pub fn watch(&self, fd: &Fd, token: u64) -> io::Result<()> {
        self.add(fd, READ | PEER_ENDED | EDGE, token)
    }

    /// Say while a listener has connections to accept; only one of the processes that share it.
    pub fn watch_listener(&self, fd: &Fd, token: u64) -> io::Result<()> {
        self.add(fd, READ | EXCLUSIVE, token)
    }

    /// Say while there is something to read.
    pub fn watch_level(&self, fd: &Fd, token: u64) -> io::Result<()> {
        self.add(fd, READ, token)
    }

    fn add(&self, fd: &Fd, events: u32, token: u64) -> io::Result<()> {
        let mut event = Ready { events, token };
        // SAFETY: the event outlives the call.
        let result = unsafe { epoll_ctl(self.0 .0, ADD, fd.0, &mut event) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Forget a descriptor that is to live on elsewhere.
    pub fn forget(&self, fd: &Fd) {
        let mut event = Ready { events: WRITE, token: 0 };
        // SAFETY: the event outlives the call.
        unsafe { epoll_ctl(self.0 .0, DELETE, fd.0, &mut event) };
    }

    /// What has happened, after at most `milliseconds`.
    pub fn wait<'a>(&self, events: &'a mut [Ready], milliseconds: i32) -> &'a [Ready] {
        // SAFETY: the buffer is valid for its length.
        let count = unsafe {
            epoll_wait(self.0 .0, events.as_mut_ptr(), events.len() as c_int, milliseconds)
        };
        &events[..usize::try_from(count).unwrap_or(0)]
    }
}

/// A doorbell between threads.
pub struct Bell(Fd);

impl Bell {
    /// A new one.
    pub fn new() -> io::Result<Bell> {
        // SAFETY: no pointers.
        let fd = unsafe { eventfd(0, CLOSE_ON_EXEC | NON_BLOCKING) };
        if fd < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(Bell(Fd(fd)))
        }
    }

    /// The descriptor to poll.
    pub fn fd(&self) -> &Fd {
        &self.0
    }

    /// Ring.
    pub fn ring(&self) {
        ring(self.0 .0);
    }

    /// Stop ringing.
    pub fn quiet(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is eight bytes, as eventfd wants.
        unsafe { read(self.0 .0, count.as_mut_ptr().cast(), 8) };
    }
}

/// Ring the doorbell `fd`, an eventfd of somebody else's.
pub fn ring(fd: c_int) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes, as eventfd wants.
    unsafe { write(fd, one.as_ptr().cast(), 8) };
}

/// Numbers of requests under way at each instance, in memory that Python owns: its own and ours, by
/// turns. Each side writes its own and reads the other's.
pub struct Loads {
    numbers: *const AtomicU32,
    instances: usize,
}

// SAFETY: the numbers are atomic, and Python keeps them until the engine has ended.
unsafe impl Send for Loads {}
// SAFETY: as above.
unsafe impl Sync for Loads {}

impl Loads {
    /// The numbers at `address`, a pair for each of so many instances.
    pub fn at(address: usize, instances: usize) -> Loads {
        Loads { numbers: address as *const AtomicU32, instances }
    }

    fn number(&self, index: usize) -> Option<&AtomicU32> {
        // SAFETY: the index is within what Python has reserved.
        (index < 2 * self.instances).then(|| unsafe { &*self.numbers.add(index) })
    }

    /// Requests under way at an instance, wherever.
    pub fn of(&self, instance: u32) -> u32 {
        let at = 2 * instance as usize;
        let of = |index| self.number(index).map_or(u32::MAX / 2, |one| one.load(Ordering::Relaxed));
        of(at) + of(at + 1)
    }

    /// One of ours begins.
    pub fn enter(&self, instance: u32) {
        if let Some(number) = self.number(2 * instance as usize + 1) {
            number.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One of ours has ended.
    pub fn leave(&self, instance: u32) {
        if let Some(number) = self.number(2 * instance as usize + 1) {
            number.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A row of numbers in memory that Python has mapped and never unmaps. The engine alone adds to it;
/// others read it at any time.
#[derive(Clone, Copy)]
pub struct Row(*const AtomicU64);

// SAFETY: the numbers are atomic, and there until the process ends.
unsafe impl Send for Row {}

impl Row {
    /// The row at `address`; 0 is one that nobody reads.
    pub fn at(address: usize) -> Row {
        Row(address as *const AtomicU64)
    }

    /// Add to the number at `index`, which the row is long enough for.
    pub fn add(&self, index: usize, amount: f64) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: the row is as long as what it counts asks for.
        let number = unsafe { &*self.0.add(index) };
        let sum = f64::from_bits(number.load(Ordering::Relaxed)) + amount;
        number.store(sum.to_bits(), Ordering::Relaxed);
    }
}
