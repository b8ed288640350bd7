//! The fast path of the gateway's data plane, as a library for Python's ctypes.
//!
//! `docs/decisions/0014-fast-path.md` says what it is for, and what it leaves to Python. Messages
//! are those of `codec`; `proxying/fastpath/engine.py` is the other side of every one of them.

pub mod answer;
pub mod clients;
pub mod clock;
pub mod codec;
pub mod config;
pub mod counters;
pub mod engine;
pub mod handing;
pub mod journey;
pub mod ledger;
pub mod memory;
pub mod redis;
pub mod request;
pub mod shared;
pub mod slab;
pub mod sys;
pub mod upstreams;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;

use codec::Reader;
use config::Config;
use engine::Engine;
use shared::Shared;

/// What Python holds of an engine.
pub struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// What was returned last; valid until the next call.
    returned: Vec<u8>,
}

/// Bytes of the caller's.
///
/// # Safety
/// `data` is valid for `length` bytes.
unsafe fn given<'a>(data: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, length) }
}

/// Start an engine; null when the system has no room for one.
///
/// # Safety
/// `data` is valid for `length` bytes; what it names is valid until [`fastpath_stop`].
#[no_mangle]
pub unsafe extern "C" fn fastpath_start(data: *const u8, length: usize) -> *mut Handle {
    // SAFETY: the caller's promise.
    let config = Config::read(Reader(unsafe { given(data, length) }));
    start(config).map_or(std::ptr::null_mut(), |handle| Box::into_raw(Box::new(handle)))
}

fn start(config: Config) -> std::io::Result<Handle> {
    let shared = Arc::new(Shared::new(config.bell)?);
    let engine = Engine::new(config, shared.clone())?;
    let thread = std::thread::Builder::new().name("fast-path".into());
    // Rc inside: it is made here and lives there, and nobody here holds on to it.
    let engine = Moved(engine);
    let thread = thread.spawn(move || {
        let Moved(engine) = { engine };
        // A bug ends the worker, which is replaced: its clients would wait for ever.
        if catch_unwind(AssertUnwindSafe(|| engine.run())).is_err() {
            std::process::abort();
        }
    })?;
    Ok(Handle { shared, thread: Some(thread), returned: Vec::new() })
}

struct Moved(Engine);
// SAFETY: the engine is moved as a whole before its first use; no `Rc` of it is left behind.
unsafe impl Send for Moved {}

/// Tell the engine something.
///
/// # Safety
/// `handle` is of [`fastpath_start`]; `data` is valid for `length` bytes.
#[no_mangle]
pub unsafe extern "C" fn fastpath_tell(handle: *mut Handle, data: *const u8, length: usize) {
    // SAFETY: the caller's promise.
    let (handle, message) = unsafe { (&*handle, given(data, length)) };
    handle.shared.command(message.to_vec());
}

/// What the engine tells next: its length, and where it is until the next call; 0 for nothing.
///
/// # Safety
/// `handle` is of [`fastpath_start`]; `data` may be written to.
#[no_mangle]
pub unsafe extern "C" fn fastpath_hear(handle: *mut Handle, data: *mut *const u8) -> usize {
    // SAFETY: the caller's promise.
    let handle = unsafe { &mut *handle };
    handle.returned = handle.shared.event().unwrap_or_default();
    // SAFETY: the caller's promise.
    unsafe { *data = handle.returned.as_ptr() };
    handle.returned.len()
}

/// What waits in the ledger, accounts and keys only where it is to be `whole`: its length, and where
/// it is until the next call.
///
/// # Safety
/// `handle` is of [`fastpath_start`]; `data` may be written to.
#[no_mangle]
pub unsafe extern "C" fn fastpath_fold(
    handle: *mut Handle,
    data: *mut *const u8,
    whole: bool,
) -> usize {
    // SAFETY: the caller's promise.
    let handle = unsafe { &mut *handle };
    handle.returned = handle.shared.fold(whole);
    // SAFETY: the caller's promise.
    unsafe { *data = handle.returned.as_ptr() };
    handle.returned.len()
}

/// Wait for an engine that has retired, and free it.
///
/// # Safety
/// `handle` is of [`fastpath_start`] and not used again.
#[no_mangle]
pub unsafe extern "C" fn fastpath_stop(handle: *mut Handle) {
    // SAFETY: the caller's promise.
    let mut handle = unsafe { Box::from_raw(handle) };
    if let Some(thread) = handle.thread.take() {
        let _ = thread.join();
    }
}
